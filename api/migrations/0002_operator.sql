-- What an operator asked for, the feed of changes that it reads, and settings that all replicas share.

ALTER TABLE transcriptions ADD COLUMN origin TEXT;
-- The number of the row's last change; 0 for rows without an origin, whose changes nobody follows.
ALTER TABLE transcriptions ADD COLUMN change_seq BIGINT NOT NULL DEFAULT 0;
-- What was asked, as JSON: source, model, options, queue, priority, limits.
ALTER TABLE transcriptions ADD COLUMN asked TEXT;
ALTER TABLE transcriptions ADD COLUMN suspended BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transcriptions ADD COLUMN ttl_ms BIGINT;
ALTER TABLE transcriptions ADD COLUMN queue_limit_ms BIGINT;
ALTER TABLE transcriptions ADD COLUMN run_limit_ms BIGINT;
-- Moments, known once the row waits and once it runs.
ALTER TABLE transcriptions ADD COLUMN queue_deadline_ms BIGINT;
ALTER TABLE transcriptions ADD COLUMN run_deadline_ms BIGINT;
-- From when on its source may be fetched (none: nothing to fetch), and by whom it was taken last.
ALTER TABLE transcriptions ADD COLUMN fetch_due_ms BIGINT;
ALTER TABLE transcriptions ADD COLUMN fetch_owner TEXT;
ALTER TABLE transcriptions ADD COLUMN fetch_tries BIGINT NOT NULL DEFAULT 0;

CREATE INDEX transcriptions_by_change ON transcriptions (change_seq) WHERE origin IS NOT NULL;
CREATE INDEX transcriptions_to_fetch ON transcriptions (fetch_due_ms) WHERE fetch_due_ms IS NOT NULL;
CREATE INDEX transcriptions_by_queue_deadline ON transcriptions (queue_deadline_ms) WHERE queue_deadline_ms IS NOT NULL;
CREATE INDEX transcriptions_with_run_limit ON transcriptions (id) WHERE run_limit_ms IS NOT NULL;

-- Rows of an operator that were removed before they had finished are changes, too.
ALTER TABLE tombstones ADD COLUMN origin TEXT;
ALTER TABLE tombstones ADD COLUMN change_seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tombstones_by_change ON tombstones (change_seq) WHERE origin IS NOT NULL;

-- One row. It is raised first in every transaction that changes rows with an origin, and stays locked until the commit: so
-- numbers become visible in their order, and a reader that has seen one has seen all below it.
CREATE TABLE change_counter (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO change_counter (id, seq) VALUES (1, 0);

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
