//! Bad input: one table over every route, each row with its status and code. All rows that are wrong are told together, and
//! after the table nothing may be lost, stored or queued that was not before.
#![expect(
    clippy::print_stdout,
    reason = "the table tells its size, and itself to whoever asks"
)]

mod audio;
mod bodies;
mod cover;
mod ground;
mod operator;
mod routes;
mod row;
mod seed;
mod slow;
mod sounds;
mod wire;
mod workers;

use ground::Ground;
use row::{Row, Table};
use wire::{Answer, exchange};

use crate::app::Database;
use crate::on_both;

/// The floor of what the table promises.
const FEWEST_ROWS: usize = 500;
/// An answer that names one of these tells how it was made.
const INTERNALS: &[&str] = &[
    "sqlx", "axum", "hyper", "serde", "tokio", "multer", "tower", "src/", ".rs", "panicked",
    "Error {", "SELECT ", "redis://", "unix://", "sqlite", "postgres", "os error",
];

on_both!(every_wrong_request_has_its_answer_and_changes_nothing);

async fn every_wrong_request_has_its_answer_and_changes_nothing(database: Database) {
    let ground = Ground::lay(database).await;
    let mut table = Table::default();
    routes::rows(&mut table, &ground);
    bodies::rows(&mut table, &ground);
    workers::rows(&mut table, &ground);
    seed::rows(&mut table, &ground);
    operator::rows(&mut table, &ground);
    let rows = table.0;
    let before = ground.stored().await;
    let secrets = ground.secrets();
    let mut wrong = cover::missing(ground.address(), &ground.app.paths, &rows).await;
    for row in &rows {
        let answer = exchange(ground.address(), &row.request.bytes()).await;
        if std::env::var_os("WTT_SHOW_TABLE").is_some() {
            show(row, &answer);
        }
        let problems = match &answer {
            Ok(answer) => judge(row, answer, &secrets),
            Err(error) => vec![error.clone()],
        };
        for problem in problems {
            wrong.push(format!("{} | {}: {problem}", row.route, row.name));
        }
    }
    if rows.len() < FEWEST_ROWS {
        wrong.push(format!("only {} rows", rows.len()));
    }
    // What was refused is taken back just after its answer.
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    let mut after = ground.stored().await;
    while after != before && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        after = ground.stored().await;
    }
    if after != before {
        wrong.push(format!("stored before {before:#?}\nand after {after:#?}"));
    }
    if let Err(error) = remove_all(&ground).await {
        wrong.push(error);
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    println!("{} rows, each answered as the table says", rows.len());
}

/// The keys of refused requests are free again, the claim still holds, and everything can be removed: nothing is left then.
async fn remove_all(ground: &Ground) -> Result<(), String> {
    let app = &ground.app;
    let form = crate::app::audio_form(crate::audio_files::tone(1.0), "a.wav");
    let again = app.upload(form).header("idempotency-key", "given-back");
    let again = again.send().await.map_err(|error| error.to_string())?;
    if again.status() != 202 {
        return Err(format!(
            "the key of a refused request is not free: {again:?}"
        ));
    }
    for row in app.state.db.list(None, None, 1000).await.unwrap().rows {
        let answer = app.delete(&crate::app::job_path(&row.id)).await;
        if answer.status() != 204 {
            return Err(format!("{} cannot be deleted: {answer:?}", row.id));
        }
    }
    let live = &ground.live;
    let returned = app.state.queue.release(&live.id, &live.token).await;
    if !matches!(returned, Ok(queue::Released::WasCancelled)) {
        return Err(format!("the live claim did not hold: {returned:?}"));
    }
    app.wait_for_no_objects().await;
    let info = app.state.queue.server_info().await.unwrap();
    let left = (app.rows().await, info.queue_pending, info.queue_processing);
    if left != (0, 0, 0) {
        return Err(format!("rows, waiting and running are left: {left:?}"));
    }
    Ok(())
}

/// For people who read the table: `WTT_SHOW_TABLE=1 ... --nocapture`.
fn show(row: &Row, answer: &Result<Answer, String>) {
    match answer {
        Ok(answer) => {
            let text = answer.text();
            let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let detail = said["detail"]
                .as_str()
                .or(said["error"].as_str())
                .unwrap_or_default();
            println!(
                "{} | {:.60} | {} {} | {detail:.200}",
                row.route, row.name, answer.status, said["code"]
            );
        }
        Err(error) => println!("{} | {:.60} | {error}", row.route, row.name),
    }
}

/// What of an answer is not as the row has it, or not as every answer must be.
fn judge(row: &Row, answer: &Answer, secrets: &[String]) -> Vec<String> {
    let text = answer.text();
    let short = || text.chars().take(300).collect::<String>();
    if answer.status != row.status {
        return vec![format!(
            "{} instead of {}: {}",
            answer.status,
            row.status,
            short()
        )];
    }
    let mut wrong = Vec::new();
    for (name, piece) in &row.headers {
        if !answer
            .header(name)
            .is_some_and(|value| value.contains(&**piece))
        {
            wrong.push(format!(
                "header {name} is {:?}, not with {piece:?}",
                answer.header(name)
            ));
        }
    }
    let says = |what: &str| {
        text.contains(what) || answer.headers.iter().any(|(_, value)| value.contains(what))
    };
    if let Some(secret) = secrets.iter().find(|secret| says(secret)) {
        wrong.push(format!("it gives away {secret}"));
    }
    if answer.status < 400 || row.code == "(bare)" {
        return wrong;
    }
    if let Some(word) = INTERNALS.iter().find(|word| text.contains(**word)) {
        wrong.push(format!("it talks about its insides ({word}): {}", short()));
    }
    if matches!(answer.status, 429 | 503) && answer.header("retry-after").is_none() {
        wrong.push("no Retry-After".to_owned());
    }
    if matches!(answer.status, 401) && answer.header("www-authenticate").is_none() {
        wrong.push("no WWW-Authenticate".to_owned());
    }
    if answer.header("x-request-id").is_none() {
        wrong.push("no X-Request-Id".to_owned());
    }
    let Ok(said) = serde_json::from_str::<serde_json::Value>(&text) else {
        if !row.request.method.eq("HEAD") {
            wrong.push(format!("no JSON: {}", short()));
        }
        return wrong;
    };
    if row.code.is_empty() {
        if answer.header("content-type") != Some("application/json")
            || said.as_object().map(serde_json::Map::len) != Some(1)
        {
            wrong.push(format!("not in the first version's shape: {}", short()));
        }
        wrong.extend(worth_saying(&said["error"]));
        return wrong;
    }
    if said["code"] != row.code {
        wrong.push(format!(
            "code {} instead of {}: {}",
            said["code"],
            row.code,
            short()
        ));
    }
    if answer.header("content-type") != Some("application/problem+json") {
        wrong.push(format!("content-type {:?}", answer.header("content-type")));
    }
    if said["status"] != row.status || said["type"] != format!("/problems/{}", row.code) {
        wrong.push(format!("status {} type {}", said["status"], said["type"]));
    }
    if said["title"].as_str().is_none_or(str::is_empty) || said["title"] == said["detail"] {
        wrong.push(format!(
            "title {} and detail {}",
            said["title"], said["detail"]
        ));
    }
    wrong.extend(worth_saying(&said["detail"]));
    wrong
}

/// Words for a person: a sentence, of bounded length, in which nothing can hide.
fn worth_saying(detail: &serde_json::Value) -> Option<String> {
    let text = detail.as_str().unwrap_or_default();
    let odd = text.chars().any(char::is_control);
    let (short, long) = (text.chars().count() < 15, text.chars().count() > 500);
    (odd || short || long).then(|| format!("its words are odd, too few or too many: {text:.200}"))
}
