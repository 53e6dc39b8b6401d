//! Every route there is: the public ones from the description that the server gives of itself, the others (internal,
//! sandbox, pages) from what the source registers and the types that its handlers take.

use std::fs;

use serde_json::{Map, Value, json};

/// Moves the clock of a debug build (`tests/it/clock.rs`).
const CLOCK: &str = "/sandbox/clock";

/// Where a route is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// The contract with passengers.
    Public,
    /// The internal listener.
    Internal,
    /// `/sandbox/*`, on the public listener.
    Sandbox,
    /// The description and its pages, on the public listener.
    Pages,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) place: Place,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Whether it needs a token.
    pub(crate) secured: bool,
    /// Parameters as OpenAPI describes them.
    pub(crate) parameters: Vec<Value>,
    /// The body's schema, without references.
    pub(crate) body: Option<Value>,
    /// Content types that the body may have.
    pub(crate) media: Vec<String>,
}

impl Route {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The name of the path's parameter.
    pub(crate) fn id(&self) -> Option<&str> {
        self.path.split(['{', '}']).nth(1)
    }

    /// Whether the internal listener has it.
    pub(crate) fn is_internal(&self) -> bool {
        self.place == Place::Internal
    }

    /// `every path`, `every path, internal`: the routes that are asked the same.
    pub(crate) fn group(&self, what: &str) -> String {
        match self.place {
            Place::Public => what.to_owned(),
            other => format!("{what}, {other:?}").to_lowercase(),
        }
    }

    /// Parameters at this place: `path`, `query`, `header`.
    pub(crate) fn parameters_in(&self, place: &str) -> impl Iterator<Item = &Value> {
        self.parameters.iter().filter(move |parameter| parameter["in"] == place)
    }
}

/// Every route of both listeners.
pub(crate) fn all(document: &Value) -> Vec<Route> {
    let lists = [
        described(document),
        internal(),
        registered(Place::Sandbox, "public/sandbox.rs"),
        registered(Place::Pages, "openapi.rs"),
    ];
    for (list, least) in lists.iter().zip([15, 15, 5, 3]) {
        assert!(list.len() >= least, "only these were found: {list:#?}");
    }
    lists.concat()
}

/// The routes of an OpenAPI document.
fn described(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in object(&document["paths"]) {
        for (method, operation) in object(methods) {
            let content = operation["requestBody"]["content"].as_object();
            let schema = content.and_then(|content| content.values().next()).map(|media| &media["schema"]);
            routes.push(Route {
                place: Place::Public,
                method: method.to_uppercase(),
                path: path.clone(),
                secured: operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()),
                parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                body: schema.map(|schema| inlined(schema, document)),
                media: content.map(|content| content.keys().cloned().collect()).unwrap_or_default(),
            });
        }
    }
    routes
}

/// A schema with every `$ref` replaced by what it names.
fn inlined(schema: &Value, document: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let named = document.pointer(reference.trim_start_matches('#'));
        return inlined(named.unwrap_or_else(|| panic!("{reference} is nowhere")), document);
    }
    match schema {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), inlined(member, document))).collect()
        }
        Value::Array(items) => items.iter().map(|item| inlined(item, document)).collect(),
        other => other.clone(),
    }
}

/// The lines of the internal listener's macro: `"/internal/v1/rides/{id}/accept" { POST drivers::accept }`
fn internal() -> Vec<Route> {
    let table = source("internal/mod.rs");
    let lines = table.split("\ninternal_routes! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let route = |path: &str, method: &str| {
        let (method, handler) = method.trim().split_once(' ')?;
        let (module, handler) = handler.split_once("::")?;
        let (module, types) = (source(&format!("internal/{module}.rs")), source("dto/internal.rs"));
        Some(from_source(Place::Internal, method, path, function(&module, handler), &types))
    };
    let of_path = |line: &str| -> Option<Vec<Route>> {
        let (path, methods) = line.trim().strip_prefix('"')?.split_once("\" ")?;
        let methods = methods.trim().strip_prefix('{')?.strip_suffix('}')?;
        methods.split(';').map(|method| route(path, method)).collect()
    };
    lines.expect("the table of internal routes").lines().filter_map(of_path).flatten().collect()
}

/// What a file registers by itself: `served("/sandbox/fleet", [(Method::PUT, web::to(set_fleet))])`
fn registered(place: Place, file: &str) -> Vec<Route> {
    let text = source(file);
    let methods = |rest: &str| -> Option<Vec<Route>> {
        let (path, rest) = rest.split_once('"').filter(|(path, _)| *path != CLOCK)?;
        let (methods, _) = rest.split_once(']')?;
        let route = |method: &str| {
            let (method, handler) = method.split_once(", web::to(")?;
            let handler = handler.split(')').next()?;
            Some(from_source(place, method, path, function(&text, handler), &text))
        };
        methods.split("Method::").skip(1).map(route).collect()
    };
    // What only a debug build has is no part of the product.
    text.split("served(\"").skip(1).filter_map(methods).flatten().collect()
}

/// A handler's head and body; empty for a closure.
fn function<'a>(module: &'a str, name: &str) -> &'a str {
    let rest = module.split(&format!("async fn {name}(")).nth(1);
    rest.and_then(|rest| rest.split("\n}").next()).unwrap_or("")
}

fn from_source(place: Place, method: &str, path: &str, handler: &str, types: &str) -> Route {
    let body = handler.split("JsonBody<").nth(1).and_then(|rest| rest.split('>').next());
    Route {
        place,
        method: method.to_owned(),
        path: path.to_owned(),
        secured: place == Place::Internal && !path.starts_with("/health/"),
        parameters: parameters_of(handler),
        media: body.iter().map(|_| "application/json".to_owned()).collect(),
        body: body.map(|name| schema_of(types, name)),
    }
}

/// What a handler reads from the query.
fn parameters_of(handler: &str) -> Vec<Value> {
    let known = [
        (
            ".limit()?",
            json!({ "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 100 } }),
        ),
        (".cursor()?", json!({ "name": "cursor", "in": "query", "schema": { "type": "string" } })),
        (
            ".dry_run()?",
            json!({ "name": "dry_run", "in": "query", "schema": { "type": "string", "enum": ["true", "false"] } }),
        ),
    ];
    let mut read: Vec<Value> = known.into_iter().filter(|(call, _)| handler.contains(call)).map(|(_, it)| it).collect();
    if handler.contains(".whom()?") {
        // Any text may be a device's name, which is the fourth.
        let names = ["address", "passenger_id", "class"];
        read.extend(names.map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } })));
    }
    assert!(!read.is_empty() || !handler.contains("Query::of"), "a parameter that this table does not know: {handler}");
    read
}

/// What a plain struct takes, as far as its types say.
fn schema_of(types: &str, name: &str) -> Value {
    let fields = types.split(&format!("struct {name} {{")).nth(1).and_then(|rest| rest.split("\n}").next());
    let (mut properties, mut required, mut has_default) = (Map::new(), Vec::new(), false);
    for line in fields.unwrap_or_else(|| panic!("{name} is nowhere")).lines().map(str::trim) {
        has_default |= line == "#[serde(default)]";
        let field = line.trim_start_matches("pub ").trim_end_matches(',');
        let Some((field, kind)) = field.split_once(": ").filter(|_| !line.starts_with("//")) else { continue };
        let optional = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
        let mut schema = match optional.unwrap_or(kind) {
            "String" => json!({ "type": ["string"] }),
            // Its names are not in this file: any other is another pattern.
            "RideStatus" => json!({ "type": ["string"], "enum": [] }),
            "bool" => json!({ "type": ["boolean"] }),
            "f64" => json!({ "type": ["number"] }),
            "u32" => json!({ "type": ["integer"], "minimum": 0 }),
            nested => schema_of(types, nested),
        };
        match (optional, schema["type"].as_array_mut()) {
            (None, _) if !std::mem::take(&mut has_default) => required.push(json!(field)),
            (None, _) => {}
            (Some(_), Some(types)) => types.push(json!("null")),
            (Some(_), None) => panic!("an optional object: {name}.{field}"),
        }
        properties.insert(field.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn source(file: &str) -> String {
    let path = format!("{}/../adapter/http/src/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}
