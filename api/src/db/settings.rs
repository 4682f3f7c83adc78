//! Settings that one replica makes and all of them use.

use sqlx::Row as _;

use super::{Db, Error};

impl Db {
    /// The stored value of this name; where there is none `made` becomes it. Whoever is first decides for all.
    pub async fn setting(&self, name: &str, made: &str) -> Result<String, Error> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(made)
        .execute(&self.pool)
        .await?;
        let found = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_one(&self.pool)
            .await?;
        Ok(found.try_get("value")?)
    }
}
