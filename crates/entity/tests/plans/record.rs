//! What the store asks of its database while a method runs. SQLite: the statements, as the driver logs them. PostgreSQL: the plan
//! by which each of them really ran, with its values, as the server reports it (`auto_explain`).

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const STATEMENTS: &str = "sqlx::query";
const NOTICES: &str = "sqlx::postgres::notice";

static RECORDED: Mutex<Recorded> = Mutex::new(Recorded { statements: vec![], notices: vec![] });

/// Since it was last taken.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) statements: Vec<String>,
    pub(crate) notices: Vec<String>,
}

/// From now on all is recorded, of every connection that is opened later.
pub(crate) fn begin() {
    // The other engine's test may have come first.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Recorder));
}

pub(crate) fn take() -> Recorded {
    std::mem::take(&mut *RECORDED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes PostgreSQL tell the plan of every statement to whoever asked it, on connections that are opened later.
pub(crate) async fn tell_plans(raw: &DatabaseConnection) {
    let named = Statement::from_string(DbBackend::Postgres, "SELECT current_database()::text");
    let name: String = raw.query_one_raw(named).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    for (setting, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_level", "notice"),
        ("auto_explain.log_format", "json"),
        // Also of what the server asks itself to hold references.
        ("auto_explain.log_nested_statements", "on"),
    ] {
        let set = raw.execute_unprepared(&format!("ALTER DATABASE \"{name}\" SET {setting} = '{value}'")).await;
        set.unwrap_or_else(|error| {
            panic!("who is to see plans must be a superuser or, from PostgreSQL 15 on, be granted SET ON PARAMETER: {error}")
        });
    }
}

struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        [STATEMENTS, NOTICES].contains(&metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
        let (field, texts) = match event.metadata().target() {
            NOTICES => ("message", &mut recorded.notices),
            _ => ("db.statement", &mut recorded.statements),
        };
        event.record(&mut Reader { field, texts });
    }
}

/// Keeps one field of an event.
struct Reader<'r> {
    field: &'static str,
    texts: &'r mut Vec<String>,
}

impl Visit for Reader<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.field && !value.is_empty() {
            self.texts.push(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.field {
            self.texts.push(format!("{value:?}"));
        }
    }
}
