//! What the operator's routes need: its key, the key that signs addresses of results, and how sources are fetched.

use std::path::PathBuf;

use crate::fetch::Cidr;

/// Settings of what a Kubernetes operator asks for.
#[derive(Debug, Clone, clap::Args)]
pub struct OperatorConfig {
    /// Key that opens the operator's routes, and nothing else; without one they are shut.
    #[arg(long, env = "WTT_OPERATOR_KEY", hide_env_values = true)]
    pub operator_key: Option<String>,

    /// File with one such key per line.
    #[arg(long, env = "WTT_OPERATOR_KEY_FILE")]
    pub operator_key_file: Option<PathBuf>,

    /// Key that signs addresses of results, 32 characters or more; default: one that is made once and kept in the database.
    #[arg(long, env = "WTT_SIGNING_KEY", hide_env_values = true)]
    pub signing_key: Option<String>,

    /// File that holds it.
    #[arg(long, env = "WTT_SIGNING_KEY_FILE")]
    pub signing_key_file: Option<PathBuf>,

    /// Where clients reach this service (`https://wtt.example.org`): signed addresses begin with it. Default: they begin with `/`.
    #[arg(long, env = "WTT_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Networks that are not public and may be fetched from all the same: `10.1.0.0/16,fd00:1::/32`.
    #[arg(long, env = "WTT_ALLOW_SOURCE_CIDR", value_delimiter = ',')]
    pub allow_source_cidr: Vec<Cidr>,

    /// Sources fetched at once.
    #[arg(long, env = "WTT_MAX_FETCHES", default_value_t = 4)]
    pub max_fetches: usize,

    /// Seconds that one source may take.
    #[arg(long, env = "WTT_FETCH_TIMEOUT_SECONDS", default_value_t = 300)]
    pub fetch_timeout_seconds: u64,

    /// How often a source is tried whose server fails or cannot be reached.
    #[arg(long, env = "WTT_FETCH_TRIES", default_value_t = 3)]
    pub fetch_tries: u64,

    /// Milliseconds between two looks for sources to fetch, without a hint.
    #[arg(long, env = "WTT_FETCH_INTERVAL_MS", default_value_t = 2_000)]
    pub fetch_interval_ms: u64,

    /// Milliseconds between two looks for deadlines that have passed.
    #[arg(long, env = "WTT_DEADLINE_INTERVAL_MS", default_value_t = 5_000)]
    pub deadline_interval_ms: u64,
}

fn public_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("expected an address such as https://wtt.example.org".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}
