-- TEXT and BIGINT (milliseconds, flags 0/1) only: the same file runs on SQLite and on Postgres.

CREATE TABLE transcriptions (
    id TEXT NOT NULL PRIMARY KEY,
    seed_id BIGINT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    life BIGINT NOT NULL,
    outbox_number BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    queued_at_ms BIGINT,
    started_at_ms BIGINT,
    finished_at_ms BIGINT,
    expires_at_ms BIGINT,
    filename TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    sample_rate BIGINT NOT NULL,
    channels BIGINT NOT NULL,
    audio_ms BIGINT NOT NULL,
    duration_estimated BIGINT NOT NULL,
    source_stored BIGINT NOT NULL,
    model TEXT NOT NULL,
    options TEXT NOT NULL,
    queue TEXT NOT NULL,
    labels TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    error TEXT,
    result TEXT
);

CREATE INDEX transcriptions_newest ON transcriptions (created_at_ms, id);
CREATE INDEX transcriptions_by_state ON transcriptions (state, created_at_ms, id);
CREATE INDEX transcriptions_by_expiry ON transcriptions (expires_at_ms);

-- Ids that are gone: they answer 410, and the sweeper deletes objects that could not be deleted at once.
CREATE TABLE tombstones (
    id TEXT NOT NULL PRIMARY KEY,
    seed_id BIGINT NOT NULL,
    reason TEXT NOT NULL,
    deleted_at_ms BIGINT NOT NULL,
    objects_left BIGINT NOT NULL
);

CREATE INDEX tombstones_by_seed_id ON tombstones (seed_id);
CREATE INDEX tombstones_with_objects ON tombstones (objects_left, deleted_at_ms);

-- Answers to requests with an Idempotency-Key. A row without an answer is a request that is still running.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    request_sha256 TEXT,
    transcription_id TEXT,
    answer TEXT,
    PRIMARY KEY (principal, idempotency_key)
);

CREATE INDEX idempotency_by_age ON idempotency (started_at_ms);
