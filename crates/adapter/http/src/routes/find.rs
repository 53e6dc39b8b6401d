//! Which route a request is for, before the framework's router is asked: admission control needs its class and
//! priority first, and a refusal should cost nothing more. A test holds the two equal.

use actix_web::http::Method;
use traffic::{Class, Priority};

use super::{Route, TABLE};

/// What is served beside the API. Pages are never more important than what is the same for everybody. The sandbox, which is
/// never there in production, plays partners: what a partner is told is nobody's load, so it takes no place among the work
/// in progress, and gets through when a test has made the gateway busy.
const PAGES: &[Route] = &[
    page("GET", "/docs"),
    page("GET", "/docs/problems"),
    page("GET", DOCS),
    page("GET", "/openapi.json"),
    sandbox("GET", "/sandbox/sms/{phone}"),
    sandbox("PUT", "/sandbox/fleet"),
    sandbox("PUT", "/sandbox/rides/{id}"),
    sandbox("PUT", "/sandbox/partners/{name}"),
    sandbox("PUT", "/sandbox/payment/{id}"),
    #[cfg(debug_assertions)]
    sandbox("PUT", "/sandbox/clock"),
];

/// The one pattern that takes every path below it.
const DOCS: &str = "/docs/{_:.*}";

/// Every place in the table that a request can have: the API's routes, pages, and the one for whatever is no route.
pub const COUNT: usize = ROWS.len() + 1;
const NOWHERE: usize = ROWS.len();

/// What admission control and metrics know of a request by its method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRef {
    /// Below [`COUNT`]; a path with a method that it does not take counts as no route.
    pub index: usize,
    /// The kind of request.
    pub class: Class,
    /// What is served longest when there is too much.
    pub priority: Priority,
    /// The pattern of the path, also with another method; `None` where nothing is.
    pub pattern: Option<&'static str>,
    /// The place of the path's first route, by which everything about the path is kept; below [`COUNT`].
    pub path_index: usize,
    /// Whether a query string is refused.
    pub takes_no_query: bool,
    /// Whether it is there only where a sandbox is.
    pub is_of_sandbox: bool,
}

/// What is no route of the API at all.
pub const UNKNOWN: RouteRef = nowhere(None, NOWHERE);

struct Row {
    route: Route,
    shape: Shape,
    takes_no_query: bool,
}

#[derive(Clone, Copy)]
enum Shape {
    Exact,
    /// A parameter: what stands before it, and where in the pattern it ends.
    Hole(usize, usize),
    /// Everything that begins like this.
    Below(usize),
}

const ROWS: [Row; TABLE.len() + PAGES.len()] = {
    let mut rows =
        [const { Row { route: TABLE[0], shape: Shape::Exact, takes_no_query: false } }; TABLE.len() + PAGES.len()];
    let mut i = 0;
    while i < rows.len() {
        let route = if i < TABLE.len() { TABLE[i] } else { PAGES[i - TABLE.len()] };
        rows[i] = Row { route, shape: shape(route.path), takes_no_query: takes_no_query(&route) };
        i += 1;
    }
    rows
};

/// The route of a request with this method and path (decoded, as the framework's router sees it).
#[must_use]
pub fn find(method: &Method, path: &str) -> RouteRef {
    let Some(first) = ROWS.iter().position(|row| row.is_of(path)) else { return UNKNOWN };
    let pattern = ROWS[first].route.path;
    let same_path = ROWS[first..].iter().take_while(|row| row.route.path == pattern);
    match same_path.enumerate().find(|(_, row)| row.route.method == method.as_str()) {
        Some((offset, Row { route, takes_no_query, .. })) => RouteRef {
            index: first + offset,
            class: route.class,
            priority: route.priority,
            pattern: Some(pattern),
            path_index: first,
            takes_no_query: *takes_no_query,
            is_of_sandbox: starts_with(pattern, "/sandbox/"),
        },
        None => nowhere(Some(pattern), first),
    }
}

const fn nowhere(pattern: Option<&'static str>, path_index: usize) -> RouteRef {
    RouteRef {
        index: NOWHERE,
        class: Class::Catalogue,
        priority: Priority::new(4),
        pattern,
        path_index,
        takes_no_query: false,
        is_of_sandbox: false,
    }
}

impl Row {
    fn is_of(&self, path: &str) -> bool {
        let pattern = self.route.path;
        match self.shape {
            Shape::Exact => path == pattern,
            Shape::Below(start) => path.starts_with(&pattern[..start]),
            Shape::Hole(start, end) => {
                let value = path.strip_prefix(&pattern[..start]).and_then(|rest| rest.strip_suffix(&pattern[end..]));
                value.is_some_and(|value| !value.is_empty() && !value.contains('/'))
            }
        }
    }
}

const fn page(method: &'static str, path: &'static str) -> Route {
    Route { method, path, class: Class::Catalogue, priority: Priority::new(4) }
}

const fn sandbox(method: &'static str, path: &'static str) -> Route {
    Route { method, path, class: Class::Catalogue, priority: Priority::new(0) }
}

/// Where the parameter of a pattern is. There is at most one.
const fn shape(pattern: &str) -> Shape {
    let bytes = pattern.as_bytes();
    let (mut i, mut start) = (0, None);
    while i < bytes.len() {
        match (bytes[i], start) {
            (b'{', None) => start = Some(i),
            (b'}', Some(start)) if bytes[i - 1] == b'*' => return Shape::Below(start),
            (b'}', Some(start)) => {
                let mut rest = i + 1;
                while rest < bytes.len() {
                    assert!(bytes[rest] != b'{', "one parameter at most");
                    rest += 1;
                }
                return Shape::Hole(start, i + 1);
            }
            _ => {}
        }
        i += 1;
    }
    Shape::Exact
}

/// Whether it is a call of the API, or of the sandbox, that reads no query string.
const fn takes_no_query(route: &Route) -> bool {
    let mut i = 0;
    while i < super::READ_QUERY.len() {
        let (method, path) = super::READ_QUERY[i];
        if same(method, route.method) && same(path, route.path) {
            return false;
        }
        i += 1;
    }
    super::is_of_api(route.path)
}

pub(super) const fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && starts_with(a, b)
}

pub(super) const fn starts_with(text: &str, start: &str) -> bool {
    let (text, start) = (text.as_bytes(), start.as_bytes());
    let mut i = 0;
    while i < start.len() {
        if i >= text.len() || text[i] != start[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use actix_web::{App, dev::Service, http::StatusCode, test::TestRequest};

    use super::*;
    use crate::{openapi, public::sandbox, routes};

    /// Every path that is worth asking for: each route as it is, and then made odd in all the ways we know.
    fn paths() -> Vec<String> {
        let mut paths: Vec<String> =
            ["/", "", "/v1", "/v1/", "/v2/me", "/%00", "/docs/a/b/c", "/docs/%2F", "//docs/"].map(str::to_owned).into();
        for row in &ROWS {
            let pattern = row.route.path;
            let plain = match row.shape {
                Shape::Exact => vec![pattern.to_owned()],
                Shape::Below(start) => vec![pattern[..start].to_owned() + "index.html"],
                Shape::Hole(start, end) => [
                    "7", "current", "fleet", "", "a/b", "a%2Fb", "%7B", "a%0Ab", "%FF", "%2e%2e", "..", "+", "a;b",
                    "{id}", "é",
                ]
                .map(|value| format!("{}{value}{}", &pattern[..start], &pattern[end..]))
                .into(),
            };
            for path in plain {
                paths.extend([format!("{path}/"), format!("/{path}"), format!("{path}x"), format!("{path}/x")]);
                paths.extend([path.to_uppercase(), path.replacen('/', "//", 2), path.replacen("v1", "%761", 1)]);
                paths.extend([
                    path.replace('-', "%2D"),
                    path.replace("/v1/", "/v1/./"),
                    path.replacen("/v1/", "/v1%2F", 1),
                ]);
                paths.extend([
                    format!("{path}?x=/v1/me"),
                    format!("{path}%20"),
                    format!("{path}%"),
                    format!("{path}%zz"),
                ]);
                paths.push(path);
            }
        }
        paths
    }

    #[actix_web::test]
    async fn a_route_is_what_the_framework_would_route_to() {
        let app = App::new().configure(routes::configure).configure(sandbox::configure).configure(openapi::configure);
        let app = actix_web::test::init_service(app).await;
        let (mut asked, mut found) = (0, [0; COUNT]);
        for path in paths() {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                // What is no URI never comes so far.
                let Ok(uri) = path.parse::<actix_web::http::Uri>() else { continue };
                let request = TestRequest::default().method(method.clone()).uri(&path);
                let ours = find(&method, request_path(&uri).as_str());
                let theirs = app.call(request.to_request()).await.unwrap();
                assert_eq!(ours.pattern.map(str::to_owned), theirs.request().match_pattern(), "{method} {path}");
                let is_taken = ours.pattern.is_some_and(|pattern| match pattern {
                    // With another method this one is passed over.
                    DOCS => method == Method::GET,
                    _ => theirs.status() != StatusCode::METHOD_NOT_ALLOWED,
                });
                assert_eq!(ours.index != NOWHERE, is_taken, "{method} {path}");
                if ours.index != NOWHERE {
                    let route = &ROWS[ours.index].route;
                    assert_eq!((route.method, Some(route.path)), (method.as_str(), ours.pattern));
                    assert_eq!((route.class, route.priority), (ours.class, ours.priority));
                }
                asked += 1;
                found[ours.index] += 1;
            }
        }
        assert!(asked > 1000 && found.iter().all(|times| *times > 0), "{found:?}");
    }

    /// The path as the framework keeps it for routing, and as the edge reads it.
    fn request_path(uri: &actix_web::http::Uri) -> String {
        TestRequest::with_uri(&uri.to_string()).to_srv_request().match_info().as_str().to_owned()
    }

    #[test]
    fn pages_and_what_is_no_route_are_never_above_what_is_served_shortest() {
        for Row { route, .. } in &ROWS[TABLE.len()..] {
            let priority = if route.path.starts_with("/sandbox/") { 0 } else { 4 };
            assert_eq!((route.class, route.priority), (Class::Catalogue, Priority::new(priority)));
        }
        let nothing = find(&Method::GET, "/v1/nothing");
        assert_eq!((nothing.index, nothing.priority, nothing.pattern), (NOWHERE, Priority::new(4), None));
        // A method that a path does not take must not ride on the path's priority.
        let other = find(&Method::DELETE, "/v1/rides/current");
        assert_eq!(
            (other.index, other.priority, other.pattern),
            (NOWHERE, Priority::new(4), Some("/v1/rides/current"))
        );
    }
}
