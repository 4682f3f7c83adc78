//! Any body as a form, to each route that takes one: taken or refused with a code. Forms are made of anything, and of well-formed parts,
//! whole or bent; results go to a claim that is live. Each route must have taken a good form before the first input.
#![no_main]

mod good;
mod ground;
mod service;

use arbitrary::Arbitrary;
use axum::http::Method;
use ground::Role;
use libfuzzer_sys::fuzz_target;

const ROUTES: &[(Method, &str, Role)] = &[
    (Method::POST, "/api/v1/transcriptions", Role::Queued),
    (Method::POST, "/transcribe/upload/", Role::Created),
    (Method::POST, "/transcribe/_result/", Role::Live),
    (Method::PUT, "/internal/v1/tasks/{id}/result", Role::Live),
    (Method::POST, "/transcribe/generate/", Role::Created),
];
const NAMES: &[&str] = &[
    "audio",
    "file",
    "model",
    "options",
    "labels",
    "priority",
    "midi",
    "notes",
    "report",
    "queue",
    "audio_midi_id",
    "task_type",
    "result_file",
];

#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Part {
        name: u8,
        filename: Option<&'a str>,
        kind: Option<&'a str>,
        body: &'a [u8],
    },
    Named {
        name: &'a str,
        body: &'a [u8],
    },
    Raw(&'a [u8]),
    /// One of the parts that the route takes.
    Good(u8),
    /// The same with other bytes in one place.
    Bent {
        part: u8,
        at: u16,
        bytes: &'a [u8],
    },
}

#[derive(Debug, Arbitrary)]
struct Form<'a> {
    route: u8,
    cut: bool,
    pieces: Vec<Piece<'a>>,
}

fuzz_target!(init: prove(), |form: Form<'_>| {
    send(&form);
});

/// The target is not dead: every route takes the form that an input can make of its good parts.
fn prove() {
    for (route, (method, template, _)) in (0_u8..).zip(ROUTES) {
        let known = service::get().paths.iter().any(|path| path == template);
        assert!(known, "the router has no {template}");
        let count = good::parts(template, 0).len();
        let form = Form {
            route,
            cut: false,
            pieces: (0_u8..).take(count).map(Piece::Good).collect(),
        };
        let answer = send(&form).expect("a good form can be sent");
        assert!(
            answer.status.is_success(),
            "{method} {template} takes no good form: {}",
            answer.text()
        );
    }
}

fn send(form: &Form<'_>) -> Option<service::Answer> {
    let (method, template, role) = &ROUTES[usize::from(form.route) % ROUTES.len()];
    let mut service = service::get();
    let known = service.ready().of(*role).clone();
    let parts = good::parts(template, known.number);
    let part = |index: &u8| &parts[usize::from(*index) % parts.len()];
    let mut body = Vec::new();
    for piece in &form.pieces {
        match piece {
            Piece::Part {
                name,
                filename,
                kind,
                body: bytes,
            } => {
                let name = NAMES[usize::from(*name) % NAMES.len()];
                good::write_part(&mut body, name, *filename, *kind, bytes);
            }
            Piece::Named { name, body: bytes } => {
                good::write_part(&mut body, name, None, None, bytes);
            }
            Piece::Raw(bytes) => body.extend_from_slice(bytes),
            Piece::Good(index) => {
                let part = part(index);
                good::write_part(&mut body, part.name, part.filename, None, &part.bytes);
            }
            Piece::Bent {
                part: index,
                at,
                bytes,
            } => {
                let part = part(index);
                let bytes = good::bent(part.bytes.clone(), *at, bytes);
                good::write_part(&mut body, part.name, part.filename, None, &bytes);
            }
        }
    }
    if !form.cut {
        body.extend_from_slice(b"--X--\r\n");
    }
    let path = known.path(template, 0, None);
    let content = Some((good::MULTIPART, body));
    let request = service::request(method.clone(), &path, known.credential(&path), content)?;
    Some(service.ask(request))
}
