-- What accounts and keys wish of flux-auto: quality in thousandths, and a lane or a bound of lanes. NULL: nothing.

ALTER TABLE accounts ADD COLUMN quality_milli INTEGER CHECK (quality_milli BETWEEN 0 AND 1000);
ALTER TABLE accounts ADD COLUMN auto_lane TEXT;

DROP TRIGGER accounts_updated;
-- Not on sums, which change with every charge and which the server itself knows best.
CREATE TRIGGER accounts_updated AFTER UPDATE OF name, tariff, cap_nano, closed_at, packs_nano, quality_milli, auto_lane
    ON accounts BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'accounts_change';
    UPDATE accounts SET change = (SELECT value FROM meta WHERE name = 'accounts_change') WHERE id = NEW.id;
END;

ALTER TABLE keys ADD COLUMN quality_milli INTEGER CHECK (quality_milli BETWEEN 0 AND 1000);
ALTER TABLE keys ADD COLUMN auto_lane TEXT;

DROP TRIGGER keys_updated;
CREATE TRIGGER keys_updated AFTER UPDATE OF account_id, prefix, name, kind, expires_at, revoked_at, scope, allowed,
    requests_per_second, requests_per_minute, tokens_per_minute, concurrent, budget_nano, budget_reset, shows_balance,
    quality_milli, auto_lane
    ON keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_change';
    UPDATE keys SET change = (SELECT value FROM meta WHERE name = 'keys_change') WHERE id = NEW.id;
END;
