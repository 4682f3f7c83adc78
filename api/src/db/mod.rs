//! The database: all SQL of the service is in this folder and nowhere else. SQLite and Postgres run the same statements
//! (sqlx `Any`; TEXT and BIGINT only). It knows rows and guards, not HTTP, Redis or objects.

mod asked;
mod changes;
mod fetches;
mod idempotency;
mod operated;
mod retention;
mod row;
mod settings;
mod transcriptions;

use std::borrow::Cow;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, SqlStr, Transaction};

pub use asked::{Asked, Operated, Source};
pub use changes::{Changes, Wanted};
pub use fetches::{Fetch, Fetched};
pub use idempotency::{Answered, Remembered};
pub use retention::Tombstone;
pub use row::{Applied, Finish, Page, Row, State};

/// Every migration, oldest first. Released files never change; a new one is added.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "transcriptions",
        include_str!("../../migrations/0001_transcriptions.sql"),
    ),
    (
        2,
        "operator",
        include_str!("../../migrations/0002_operator.sql"),
    ),
];

/// No statement of ours takes long; one that hangs would hold its connection for ever. Applies to migrations, too: one that
/// rewrites a table says `SET LOCAL statement_timeout = 0`. Whoever waits for a lock gives up as early as with SQLite.
const POSTGRES_SETTINGS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'";
const SQLITE_SETTINGS: &str =
    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

/// A pool of connections; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: AnyPool,
    sqlite: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database URL must start with sqlite:// or postgres://")]
    Url,
    #[error("failed to open the database: {0}; check WTT_DATABASE_URL")]
    Open(sqlx::Error),
    #[error("failed to migrate the database: {0}")]
    Migrate(sqlx::migrate::MigrateError),
    #[error("the database failed: {0}")]
    Query(sqlx::Error),
    #[error("another request took the Idempotency-Key over meanwhile")]
    KeyTakenOver,
    #[error("row {id} holds an unreadable {column}: {value:?}")]
    Unreadable {
        id: String,
        column: &'static str,
        value: String,
    },
}

// By hand: the cause stands in the words already, and must not be told once more as a source.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Error::Query(error)
    }
}

/// SQLite's are numbers, and shorter.
const POSTGRES_CODE_CHARS: usize = 5;
/// Primary result codes of SQLite.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;

/// What kind of error an extended code is of: 778 (a write failed) is an IOERR.
fn sqlite_primary(code: &str) -> u32 {
    code.parse::<u32>().map_or(0, |code| code & 0xff)
}

impl Error {
    /// The database is away or overloaded; the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        let Error::Query(error) = self else {
            return matches!(self, Error::Open(_) | Error::KeyTakenOver);
        };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => match &*error.code().unwrap_or_default() {
                code if code.len() < POSTGRES_CODE_CHARS => {
                    [BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN].contains(&sqlite_primary(code))
                }
                // Postgres: waited too long for a lock or in all, connection failures, no room or too many connections,
                // shutting down.
                code => {
                    ["55P03", "57014"].contains(&code)
                        || code.starts_with("08")
                        || code.starts_with("53")
                        || code.starts_with("57P")
                }
            },
            _ => false,
        }
    }

    /// Whether surely nothing of the call was stored: the database said so, or was never asked. Not sure where an answer
    /// was lost, or the disk failed under a commit.
    pub fn is_undone(&self) -> bool {
        match self {
            Error::Query(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
            Error::Query(sqlx::Error::Database(error)) => {
                match &*error.code().unwrap_or_default() {
                    code if code.len() < POSTGRES_CODE_CHARS => {
                        [BUSY, LOCKED, READONLY, FULL].contains(&sqlite_primary(code))
                    }
                    code => !code.starts_with("08") && !code.starts_with("57P"),
                }
            }
            _ => false,
        }
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, name, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            sql,
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

impl Db {
    /// Connects and brings the schema up to date.
    pub async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let sqlite = url.starts_with("sqlite:");
        if !sqlite && !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(Error::Url);
        }
        let url = match sqlite && !url.contains('?') {
            true => Cow::Owned(format!("{url}?mode=rwc")),
            false => Cow::Borrowed(url),
        };
        let settings = match sqlite {
            true => SQLITE_SETTINGS,
            false => POSTGRES_SETTINGS,
        };
        if sqlite {
            // A pool tries again until its time is over; a file that is no database will never be one.
            let mut first = AnyConnection::connect(&url).await.map_err(Error::Open)?;
            first.execute(settings).await.map_err(Error::Open)?;
            first.close().await.map_err(Error::Open)?;
        }
        let options = AnyPoolOptions::new()
            .max_connections(if sqlite { 4 } else { 16 })
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(settings).await?;
                    Ok(())
                })
            })
            // A COMMIT that failed (a full disk) leaves its connection inside the transaction, where no other can begin.
            .after_release(|connection, _| {
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            });
        let pool = options.connect(&url).await.map_err(Error::Open)?;
        migrator(MIGRATIONS)
            .run(&pool)
            .await
            .map_err(Error::Migrate)?;
        Ok(Self { pool, sqlite })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// A transaction that writes: SQLite takes its write lock at once, or a read that turns into a write could fail busy.
    async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.sqlite {
            true => self.pool.begin_with("BEGIN IMMEDIATE").await?,
            false => self.pool.begin().await?,
        })
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Milliseconds, counts and flags as the database holds them.
fn to_db(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same statements run on Postgres, where the tests over HTTP begin with them.
    #[tokio::test]
    async fn a_database_of_an_older_version_keeps_its_rows() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}?mode=rwc",
            folder.path().join("old.db").display()
        );
        let pool = AnyPool::connect(&url).await.unwrap();
        migrator(&MIGRATIONS[..1]).run(&pool).await.unwrap();
        pool.execute(
            "INSERT INTO transcriptions (id, seed_id, state, life, outbox_number, created_at_ms, updated_at_ms, filename, \
             media_type, bytes, sha256, sample_rate, channels, audio_ms, duration_estimated, source_stored, model, options, \
             queue, labels, attempt) VALUES ('old', 7, 'queued', 1, 0, 1, 1, 'a.wav', 'audio/wav', 3, 'x', 8000, 1, 5, 0, 1, \
             'basic-pitch', '{}', 'default', '{}', 0)",
        )
        .await
        .unwrap();
        pool.close().await;
        for _ in 0..2 {
            let db = Db::open(&url).await.unwrap();
            let row = db.get("old").await.unwrap().unwrap();
            assert_eq!(
                (row.seed_id, row.state, &row.operated),
                (7, State::Queued, &None)
            );
            assert!(!row.is_suspended());
            assert_eq!(db.last_change().await.unwrap(), 0);
            db.close().await;
        }
    }
}
