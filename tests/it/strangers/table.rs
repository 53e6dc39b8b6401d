//! Every route there is: the public ones from the description that the server gives of itself, the internal ones from
//! the table and the DTOs in the source.

use std::fs;

use serde_json::{Map, Value, json};

/// One method of one path.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) internal: bool,
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

    pub(crate) fn has_id(&self) -> bool {
        self.path.contains("{id}")
    }

    /// Parameters at this place: `path`, `query`, `header`.
    pub(crate) fn parameters_in(&self, place: &str) -> impl Iterator<Item = &Value> {
        self.parameters.iter().filter(move |parameter| parameter["in"] == place)
    }
}

/// The routes of an OpenAPI document.
pub(crate) fn public(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in object(&document["paths"]) {
        for (method, operation) in object(methods) {
            let content = operation["requestBody"]["content"].as_object();
            let schema = content.and_then(|content| content.values().next()).map(|media| &media["schema"]);
            routes.push(Route {
                internal: false,
                method: method.to_uppercase(),
                path: path.clone(),
                secured: operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()),
                parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                body: schema.map(|schema| inlined(schema, document)),
                media: content.map(|content| content.keys().cloned().collect()).unwrap_or_default(),
            });
        }
    }
    assert!(routes.len() > 15, "the description lists {} routes", routes.len());
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

/// The routes of the internal listener: the lines of its macro, and what each handler takes.
pub(crate) fn internal() -> Vec<Route> {
    let table = source("internal/mod.rs");
    let lines = table.split("\ninternal_routes! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let routes: Vec<Route> = lines.expect("the table of internal routes").lines().filter_map(internal_route).collect();
    assert!(routes.len() > 15, "the source lists {} routes", routes.len());
    routes
}

/// `POST "/internal/v1/rides/{id}/accept" drivers::accept;`
fn internal_route(line: &str) -> Option<Route> {
    let (method, rest) = line.trim().split_once('"').map(|(method, rest)| (method.trim(), rest))?;
    let (path, handler) = rest.split_once('"')?;
    let (module, handler) = handler.trim().trim_end_matches(';').split_once("::")?;
    let body = body_of(&source(&format!("internal/{module}.rs")), handler);
    Some(Route {
        internal: true,
        method: method.to_owned(),
        path: path.to_owned(),
        secured: !path.starts_with("/health/"),
        parameters: Vec::new(),
        media: body.iter().map(|_| "application/json".to_owned()).collect(),
        body: body.map(|name| schema_of(&source("dto/internal.rs"), &name)),
    })
}

/// The type that a handler reads its body into.
fn body_of(module: &str, handler: &str) -> Option<String> {
    let signature = module.split(&format!("async fn {handler}(")).nth(1)?.split('{').next()?;
    Some(signature.split("JsonBody<").nth(1)?.split('>').next()?.to_owned())
}

/// What a plain struct takes, as far as its types say.
fn schema_of(dto: &str, name: &str) -> Value {
    let fields = dto.split(&format!("struct {name} {{")).nth(1).and_then(|rest| rest.split("\n}").next());
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for line in fields.unwrap_or_else(|| panic!("{name} is nowhere")).lines().map(str::trim) {
        let field = line.trim_start_matches("pub ").trim_end_matches(',');
        let Some((field, kind)) = field.split_once(": ").filter(|_| !line.starts_with("//")) else { continue };
        let optional = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
        let mut schema = match optional.unwrap_or(kind) {
            "String" => json!({ "type": ["string"] }),
            "f64" => json!({ "type": ["number"] }),
            "u32" => json!({ "type": ["integer"], "minimum": 0 }),
            nested => schema_of(dto, nested),
        };
        match (optional, schema["type"].as_array_mut()) {
            (None, _) => required.push(json!(field)),
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
