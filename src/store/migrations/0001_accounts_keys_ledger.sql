-- Times are milliseconds since 1970 UTC, amounts nano-USD. Charges are positive: a balance is what an
-- account has been charged.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal is booked up to here; `keys_change` counts changes of keys.
INSERT INTO meta (name, value) VALUES ('journal_segment', 0), ('journal_offset', 0), ('keys_change', 0);

CREATE TABLE accounts (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    balance_nano INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE keys (
    id           INTEGER PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES accounts (id),
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    prefix       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('live', 'test')),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER,
    -- Value of `keys_change` at the last change: a running server reads only what is newer.
    change       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX keys_by_change ON keys (change);

CREATE TRIGGER keys_inserted AFTER INSERT ON keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_change';
    UPDATE keys SET change = (SELECT value FROM meta WHERE name = 'keys_change') WHERE id = NEW.id;
END;

-- Not on `last_used_at`, which changes all the time and which the server itself knows best.
CREATE TRIGGER keys_updated AFTER UPDATE OF account_id, prefix, name, kind, expires_at, revoked_at ON keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_change';
    UPDATE keys SET change = (SELECT value FROM meta WHERE name = 'keys_change') WHERE id = NEW.id;
END;

-- A running server would not notice, and the ledger refers to keys for ever.
CREATE TRIGGER keys_never_deleted BEFORE DELETE ON keys BEGIN
    SELECT RAISE(ABORT, 'keys are revoked, never deleted');
END;

CREATE TRIGGER keys_keep_their_hash BEFORE UPDATE OF id, hash ON keys BEGIN
    SELECT RAISE(ABORT, 'a key keeps its id and its hash');
END;

-- No foreign keys: a charge is a fact, also when its account has gone. `flux reconcile` reports such rows.
CREATE TABLE ledger (
    request_id         BLOB    PRIMARY KEY CHECK (length(request_id) = 16),
    account_id         INTEGER NOT NULL,
    key_id             INTEGER NOT NULL,
    at                 INTEGER NOT NULL,
    requested          TEXT    NOT NULL,
    lane               TEXT    NOT NULL,
    provider           TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    wire_format        TEXT    NOT NULL,
    streamed           INTEGER NOT NULL,
    ending             TEXT    NOT NULL,
    attempts           INTEGER NOT NULL,
    input              INTEGER NOT NULL,
    cache_read         INTEGER NOT NULL,
    cache_write_5m     INTEGER NOT NULL,
    cache_write_30m    INTEGER NOT NULL,
    cache_write_1h     INTEGER NOT NULL,
    cache_write_12h    INTEGER NOT NULL,
    output             INTEGER NOT NULL,
    reasoning          INTEGER NOT NULL,
    input_image        INTEGER NOT NULL,
    cache_read_image   INTEGER NOT NULL,
    output_image       INTEGER NOT NULL,
    input_audio        INTEGER NOT NULL,
    output_audio       INTEGER NOT NULL,
    estimated          INTEGER NOT NULL,
    amount_nano        INTEGER NOT NULL,
    provider_cost_nano INTEGER NOT NULL,
    latency_us         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_never_updated BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_never_deleted BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
