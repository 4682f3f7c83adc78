//! One case of the table: a request, and what has to come back. Written so that a row is a line or two.

use std::borrow::Cow;

/// What of a request is wrong. Every route has to have rows for those that apply to it (`cover`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    Method,
    /// No credential, a wrong one, one that has ended, or somebody else's.
    Auth,
    Id,
    Query,
    Header,
    Body,
}

/// A route as the table names it.
pub(crate) type Route = &'static str;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// `METHOD path` of the route that is meant.
    pub(crate) route: Route,
    pub(crate) wrong: Wrong,
    pub(crate) name: String,
    pub(crate) request: Request,
    pub(crate) status: u16,
    /// Empty: a success, or an error in the first version's shape.
    pub(crate) code: &'static str,
    /// Headers of the answer and a piece of their value (empty: any).
    pub(crate) headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// A request before it is bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Vec<u8>>,
}

pub(crate) fn request(method: &'static str, target: impl Into<String>) -> Request {
    Request {
        method,
        target: target.into(),
        headers: Vec::new(),
        body: None,
    }
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header("content-type", content_type);
        request.body = Some(body.into());
        request
    }

    pub(crate) fn form(self, form: Form) -> Self {
        self.body("multipart/form-data; boundary=edge", form.end())
    }

    /// As sent; `Content-Length` and `Host` are added where the row did not set its own.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let has = |name: &str| self.headers.iter().any(|(known, _)| known == name);
        let mut put = |name: &str, value: &[u8]| {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        };
        for (name, value) in [("host", "test"), ("connection", "close")] {
            if !has(name) {
                put(name, value.as_bytes());
            }
        }
        for (name, value) in &self.headers {
            put(name, value);
        }
        if let Some(body) = &self.body
            && !has("content-length")
            && !has("transfer-encoding")
        {
            put("content-length", body.len().to_string().as_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// A multipart body with the boundary `edge`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, filename: &str, bytes: &[u8]) -> Self {
        let disposition = format!("form-data; name=\"{name}\"; filename=\"{filename}\"");
        self.part(disposition.as_bytes(), bytes)
    }

    pub(crate) fn text(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.part(
            format!("form-data; name=\"{name}\"").as_bytes(),
            value.as_ref(),
        )
    }

    /// A part with this `Content-Disposition`, whatever it says.
    pub(crate) fn part(mut self, disposition: &[u8], bytes: &[u8]) -> Self {
        for piece in [
            b"--edge\r\nContent-Disposition: ".as_slice(),
            disposition,
            b"\r\n\r\n",
            bytes,
            b"\r\n",
        ] {
            self.0.extend(piece);
        }
        self
    }

    /// Whole.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend(b"--edge--\r\n");
        self.0
    }

    /// Without its end, cut by so many bytes.
    pub(crate) fn cut(mut self, bytes: usize) -> Vec<u8> {
        self.0.truncate(self.0.len().saturating_sub(bytes));
        self.0
    }
}

/// Collects rows of one route after the other.
#[derive(Default)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl Table {
    pub(crate) fn row(
        &mut self,
        route: Route,
        wrong: Wrong,
        name: impl Into<String>,
        request: Request,
        status: u16,
        code: &'static str,
    ) -> &mut Row {
        self.0.push(Row {
            route,
            wrong,
            name: name.into(),
            request,
            status,
            code,
            headers: Vec::new(),
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Row {
    pub(crate) fn with(
        &mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> &mut Self {
        self.headers.push((name, value.into()));
        self
    }
}
