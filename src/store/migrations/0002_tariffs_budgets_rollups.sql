-- Accounts get a tariff, keys get budgets and limits, usage gets roll-ups. Amounts are nano-USD of usage.

-- Empty: the default tariff. `cap_nano`: the most usage of a period, in the place of the tariff's ceiling.
ALTER TABLE accounts ADD COLUMN tariff TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN cap_nano INTEGER;
ALTER TABLE accounts ADD COLUMN closed_at INTEGER;
-- When what tells of a person was taken out.
ALTER TABLE accounts ADD COLUMN purged_at INTEGER;
ALTER TABLE accounts ADD COLUMN packs_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN packs_used_nano INTEGER NOT NULL DEFAULT 0;
-- Value of `accounts_change` at the last change.
ALTER TABLE accounts ADD COLUMN change INTEGER NOT NULL DEFAULT 0;

INSERT INTO meta (name, value) VALUES ('accounts_change', 1);
UPDATE accounts SET change = 1;
CREATE INDEX accounts_by_change ON accounts (change);

CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'accounts_change';
    UPDATE accounts SET change = (SELECT value FROM meta WHERE name = 'accounts_change') WHERE id = NEW.id;
END;

-- Not on sums, which change with every charge and which the server itself knows best.
CREATE TRIGGER accounts_updated AFTER UPDATE OF name, tariff, cap_nano, closed_at, packs_nano ON accounts BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'accounts_change';
    UPDATE accounts SET change = (SELECT value FROM meta WHERE name = 'accounts_change') WHERE id = NEW.id;
END;

CREATE INDEX accounts_to_purge ON accounts (closed_at) WHERE closed_at IS NOT NULL AND purged_at IS NULL;

-- A closed account stays closed and gets nothing new.
CREATE TRIGGER accounts_stay_closed BEFORE UPDATE OF closed_at ON accounts
    WHEN OLD.closed_at IS NOT NULL AND NEW.closed_at IS NOT OLD.closed_at BEGIN
    SELECT RAISE(ABORT, 'the account is closed');
END;

CREATE TRIGGER keys_of_open_accounts BEFORE INSERT ON keys
    WHEN (SELECT closed_at FROM accounts WHERE id = NEW.account_id) IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'the account is closed');
END;

-- Credit packs, bought once, spent after what a period includes. `accounts.packs_nano` is their sum.
CREATE TABLE packs (
    id          INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    bought_at   INTEGER NOT NULL,
    amount_nano INTEGER NOT NULL,
    price_nano  INTEGER NOT NULL,
    note        TEXT    NOT NULL
) STRICT;

CREATE INDEX packs_by_account ON packs (account_id);

CREATE TRIGGER packs_of_open_accounts BEFORE INSERT ON packs
    WHEN (SELECT closed_at FROM accounts WHERE id = NEW.account_id) IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'the account is closed');
END;

CREATE TRIGGER packs_counted AFTER INSERT ON packs BEGIN
    UPDATE accounts SET packs_nano = packs_nano + NEW.amount_nano WHERE id = NEW.account_id;
END;

CREATE TRIGGER packs_never_updated BEFORE UPDATE OF account_id, bought_at, amount_nano, price_nano ON packs BEGIN
    SELECT RAISE(ABORT, 'packs are append-only');
END;

CREATE TRIGGER packs_never_deleted BEFORE DELETE ON packs BEGIN
    SELECT RAISE(ABORT, 'packs are append-only');
END;

ALTER TABLE keys ADD COLUMN scope TEXT NOT NULL DEFAULT 'inference' CHECK (scope IN ('inference', 'admin'));
-- JSON list of names; empty: all.
ALTER TABLE keys ADD COLUMN allowed TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN requests_per_second INTEGER;
ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE keys ADD COLUMN tokens_per_minute INTEGER;
ALTER TABLE keys ADD COLUMN concurrent INTEGER;
ALTER TABLE keys ADD COLUMN budget_nano INTEGER;
ALTER TABLE keys ADD COLUMN budget_reset TEXT NOT NULL DEFAULT 'calendar-month'
    CHECK (budget_reset IN ('day', 'calendar-month', 'never'));
ALTER TABLE keys ADD COLUMN shows_balance INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER keys_updated;
CREATE TRIGGER keys_updated AFTER UPDATE OF account_id, prefix, name, kind, expires_at, revoked_at, scope, allowed,
    requests_per_second, requests_per_minute, tokens_per_minute, concurrent, budget_nano, budget_reset, shows_balance
    ON keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_change';
    UPDATE keys SET change = (SELECT value FROM meta WHERE name = 'keys_change') WHERE id = NEW.id;
END;
CREATE INDEX keys_by_account ON keys (account_id);

-- Parts of `amount_nano`; the rest was included in the tariff.
ALTER TABLE ledger ADD COLUMN from_packs_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN overage_nano INTEGER NOT NULL DEFAULT 0;
-- What the request cost beyond `amount_nano`, and no cap had room for.
ALTER TABLE ledger ADD COLUMN written_off_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN service_tier TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN images INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN audio_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN characters INTEGER NOT NULL DEFAULT 0;
-- Half a hash over key and idempotency key, half one over the body; of the first request that had them.
ALTER TABLE ledger ADD COLUMN idempotency BLOB;
CREATE INDEX ledger_by_account ON ledger (account_id, request_id);
CREATE INDEX ledger_by_key ON ledger (key_id, request_id);
CREATE INDEX ledger_by_idempotency ON ledger (request_id) WHERE idempotency IS NOT NULL;

-- Rows from before this moment may go: their sums stay in `ledger_archived`. Always the beginning of a day.
INSERT INTO meta (name, value) VALUES ('ledger_horizon', 0);

CREATE TABLE ledger_archived (
    account_id         INTEGER PRIMARY KEY,
    requests           INTEGER NOT NULL,
    amount_nano        INTEGER NOT NULL,
    from_packs_nano    INTEGER NOT NULL,
    overage_nano       INTEGER NOT NULL,
    written_off_nano   INTEGER NOT NULL,
    provider_cost_nano INTEGER NOT NULL
) STRICT;

DROP TRIGGER ledger_never_deleted;
CREATE TRIGGER ledger_kept_since_horizon BEFORE DELETE ON ledger
    WHEN OLD.at >= (SELECT value FROM meta WHERE name = 'ledger_horizon') BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_archives AFTER DELETE ON ledger BEGIN
    INSERT INTO ledger_archived (account_id, requests, amount_nano, from_packs_nano, overage_nano, written_off_nano,
        provider_cost_nano)
    VALUES (OLD.account_id, 1, OLD.amount_nano, OLD.from_packs_nano, OLD.overage_nano, OLD.written_off_nano,
        OLD.provider_cost_nano)
    ON CONFLICT (account_id) DO UPDATE SET requests = requests + 1, amount_nano = amount_nano + excluded.amount_nano,
        from_packs_nano = from_packs_nano + excluded.from_packs_nano,
        overage_nano = overage_nano + excluded.overage_nano,
        written_off_nano = written_off_nano + excluded.written_off_nano,
        provider_cost_nano = provider_cost_nano + excluded.provider_cost_nano;
END;

-- Sums of the ledger, kept as it is booked. Hours and days are numbered from 1970 UTC.
CREATE TABLE usage_hourly (
    account_id  INTEGER NOT NULL,
    hour        INTEGER NOT NULL,
    key_id      INTEGER NOT NULL,
    lane        TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    ending      TEXT    NOT NULL,
    requests    INTEGER NOT NULL,
    input       INTEGER NOT NULL,
    cached      INTEGER NOT NULL,
    output      INTEGER NOT NULL,
    amount_nano INTEGER NOT NULL,
    PRIMARY KEY (account_id, hour, key_id, lane, model, provider, ending)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_daily (
    account_id     INTEGER NOT NULL,
    day            INTEGER NOT NULL,
    key_id         INTEGER NOT NULL,
    lane           TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    provider       TEXT    NOT NULL,
    ending         TEXT    NOT NULL,
    requests       INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    cached         INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    amount_nano    INTEGER NOT NULL,
    from_packs_nano INTEGER NOT NULL,
    overage_nano   INTEGER NOT NULL,
    PRIMARY KEY (account_id, day, key_id, lane, model, provider, ending)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_daily_by_key ON usage_daily (key_id, day);
-- For proofs.
CREATE INDEX usage_daily_by_day ON usage_daily (day);
-- For retention.
CREATE INDEX usage_hourly_by_hour ON usage_hourly (hour);

-- What was booked before there were sums. 3600000 ms are an hour.
INSERT INTO usage_hourly SELECT account_id, at / 3600000, key_id, lane, model, provider, ending, count(*),
        sum(input + cache_read + cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h + input_image
            + cache_read_image + input_audio),
        sum(cache_read + cache_read_image), sum(output + output_image + output_audio), sum(amount_nano)
    FROM ledger GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO usage_daily SELECT account_id, hour / 24, key_id, lane, model, provider, ending, sum(requests), sum(input),
        sum(cached), sum(output), sum(amount_nano), 0, 0
    FROM usage_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7;
