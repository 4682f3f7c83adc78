//! Who may play the operator, and what else its key opens: nothing.

use reqwest::Method;

use super::{OPERATOR, path, start_with};
use crate::app::{Database, TestApp, problem};
use crate::on_both;

const USER: &str = "a-key-of-some-length";

on_both!(
    keys_open_their_own_routes_only,
    without_an_operators_key_nobody_is_one
);

async fn keys_open_their_own_routes_only(database: Database) {
    let app = start_with(database, &["--api-key=a-key-of-some-length"]).await;
    let ask = async |method: Method, path: &str, key: Option<&str>| {
        let mut request = app.client.request(method, format!("{}{path}", app.base));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.unwrap()
    };
    for (method, path) in [
        (
            Method::GET,
            "/internal/v1/transcriptions?origin=a/b".to_owned(),
        ),
        (Method::GET, path("x")),
        (Method::PUT, path("x")),
        (Method::DELETE, path("x")),
        (Method::PUT, format!("{}/suspended", path("x"))),
    ] {
        problem(ask(method.clone(), &path, None).await, 401, "key_missing").await;
        problem(
            ask(method.clone(), &path, Some("somebody-elses-key")).await,
            401,
            "key_invalid",
        )
        .await;
        problem(
            ask(method.clone(), &path, Some(USER)).await,
            403,
            "scope_missing",
        )
        .await;
    }
    let list = ask(
        Method::GET,
        "/internal/v1/transcriptions?origin=a/b",
        Some(OPERATOR),
    )
    .await;
    assert_eq!(list.status(), 200);
    let users = ask(Method::GET, "/api/v1/transcriptions", Some(OPERATOR)).await;
    problem(users, 403, "scope_missing").await;
}

async fn without_an_operators_key_nobody_is_one(database: Database) {
    let app = TestApp::start(database).await;
    for request in [
        app.client.get(format!("{}{}", app.base, path("x"))),
        app.request(Method::PUT, &path("x")).bearer_auth(USER),
    ] {
        problem(request.send().await.unwrap(), 403, "scope_missing").await;
    }
}
