-- What `flux-auto` saw in a request, and what the caller says of the answer.

-- The likeliest kind of work; empty where the lane or the model was asked for by name.
ALTER TABLE ledger ADD COLUMN kind_of_work TEXT NOT NULL DEFAULT '';
-- The estimated gain of the dearer lane in ten-thousandths, -10000 to 10000; null where there is no kind.
ALTER TABLE ledger ADD COLUMN route_score_e4 INTEGER;

-- The last word on an answer. No foreign key: a row of the ledger takes its feedback with it by a trigger.
CREATE TABLE feedback (
    request_id    BLOB    PRIMARY KEY CHECK (length(request_id) = 16),
    account_id    INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    -- 0 for a useless answer, 1000 for a perfect one.
    quality_milli INTEGER NOT NULL CHECK (quality_milli BETWEEN 0 AND 1000)
) STRICT, WITHOUT ROWID;

CREATE INDEX feedback_by_account ON feedback (account_id, request_id);

CREATE TRIGGER feedback_goes_with_its_row AFTER DELETE ON ledger BEGIN
    DELETE FROM feedback WHERE request_id = OLD.request_id;
END;
