-- Which providers may serve a key, as names with commas between. Empty: any of them, none of them.
-- And the region that it stays in; empty: any.

ALTER TABLE keys ADD COLUMN providers_only TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN providers_ignored TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN region TEXT NOT NULL DEFAULT '';

DROP TRIGGER keys_updated;
CREATE TRIGGER keys_updated AFTER UPDATE OF account_id, prefix, name, kind, expires_at, revoked_at, scope, allowed,
    requests_per_second, requests_per_minute, tokens_per_minute, concurrent, budget_nano, budget_reset, shows_balance,
    quality_milli, auto_lane, providers_only, providers_ignored, region
    ON keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_change';
    UPDATE keys SET change = (SELECT value FROM meta WHERE name = 'keys_change') WHERE id = NEW.id;
END;
