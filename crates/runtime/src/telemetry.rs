//! Logs, and the settings of section `[runtime]`.

use std::{error::Error, fmt, io::IsTerminal};

use serde::{Deserialize, Serialize};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{Invalid, Origin, within};

/// Section `[runtime]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that requests and tasks get to end after a stop signal, 0…600.
    pub drain_s: u32,
    /// Seconds between saying "not ready" and closing the listeners, 0…60: the time in which a load balancer looks. Comes
    /// before `drain_s`.
    pub unready_s: u32,
    /// Which log lines are written: a level, or directives like `info,entity=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text, coloured on a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            drain_s: 20,
            unready_s: 0,
            log: "info,actix_server=warn,actix_http=off".into(),
            log_format: LogFormat::Pretty,
        }
    }
}

impl Config {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first key with a value that is not accepted.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("drain_s", self.drain_s, 0..=600, "seconds")?;
        within("unready_s", self.unready_s, 0..=60, "seconds")?;
        if self.log.trim().is_empty() || EnvFilter::try_new(&self.log).is_err() {
            return Err(Invalid::new(
                "log",
                "a level (error, warn, info, debug, trace) or directives like `info,entity=debug`",
            ));
        }
        Ok(())
    }
}

/// Starts writing logs to standard error and sends panics there too. Standard output stays free for results.
///
/// # Errors
/// A bad `log` setting, or something in this process receives the logs already.
pub fn init(config: &Config) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(&config.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A line that cannot be written (disk full) is lost; told on standard error it would end the process.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let ansi = std::io::stderr().is_terminal();
    let set = match config.log_format {
        LogFormat::Pretty => {
            let named =
                |lines: tracing_subscriber::fmt::format::Format| Named { lines: lines.with_ansi(ansi), json: false };
            lines.with_ansi(ansi).map_event_format(named).try_init()
        }
        LogFormat::Json => {
            lines.json().flatten_event(true).map_event_format(|lines| Named { lines, json: true }).try_init()
        }
    };
    set.map_err(|set_already| -> Box<dyn Error> { set_already })?;
    crate::task::install_panic_hook();
    Ok(())
}

/// Lines that name the request they belong to, at their end.
struct Named<F> {
    lines: F,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(name) = Origin::with_current(|origin| self.name(origin)) else {
            return self.lines.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        // The end of the line, and of the object, comes after the name.
        let line = line.strip_suffix(if self.json { "}\n" } else { "\n" }).unwrap_or(&line);
        writeln!(writer, "{line}{name}")
    }
}

impl<F> Named<F> {
    /// What the line ends with. An id is printable ASCII, but in JSON a quote is not itself.
    fn name(&self, origin: &Origin) -> String {
        let members = [("request", Some(origin.id())), ("trace", origin.trace())];
        let members = members.into_iter().filter_map(|(name, text)| Some((name, text?)));
        if self.json {
            members.map(|(name, text)| format!(",\"{name}\":{text:?}")).chain(["}".to_owned()]).collect()
        } else {
            members.map(|(name, text)| format!(" {name}={text}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::{MakeWriter, format};

    use super::*;

    /// What is written while `log` runs, in this format.
    fn written<F>(lines: Named<F>, log: impl FnOnce()) -> String
    where
        F: FormatEvent<tracing_subscriber::Registry, format::DefaultFields> + Send + Sync + 'static,
    {
        #[derive(Clone, Default)]
        struct Paper(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Paper {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        impl MakeWriter<'_> for Paper {
            type Writer = Self;
            fn make_writer(&self) -> Self {
                self.clone()
            }
        }
        let paper = Paper::default();
        let subscriber = tracing_subscriber::fmt().event_format(lines).with_writer(paper.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_names_the_request_that_it_was_written_for_and_no_other() {
        let log = || {
            tracing::info!(brace = "}", "before");
            let origin = Origin::given("a\"b\\").within_trace(Some(&"0f".repeat(16)));
            origin.run_sync(|| tracing::info!(brace = "}", "inside"));
            Origin::drawn([0xab; 16]).run_sync(|| tracing::info!("drawn"));
        };
        let text = written(Named { lines: format().with_ansi(false), json: false }, log);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("before brace=\"}\""), "{text}");
        assert!(lines[1].ends_with(&format!("brace=\"}}\" request=a\"b\\ trace={}", "0f".repeat(16))), "{text}");
        assert!(lines[2].ends_with(&format!("drawn request={}", "ab".repeat(16))), "{text}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_line_of_json_stays_json() {
        let log = || {
            let origin = Origin::given("a\"b\\").within_trace(Some("no trace"));
            origin.run_sync(|| tracing::info!(brace = "}", "inside }}"));
        };
        let text = written(Named { lines: format().json().flatten_event(true), json: true }, log);
        assert!(text.ends_with(concat!(r#","request":"a\"b\\"}"#, "\n")), "{text}");
        assert!(text.contains(r#""message":"inside }""#) && text.contains(r#""brace":"}""#), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_filter_that_does_not_parse_names_its_key() {
        let bad = Config { log: "info,entity=loud".into(), ..Config::default() };
        assert_eq!(bad.validate().map_err(|e| e.key), Err("log"));
        let slow = Config { drain_s: 601, ..Config::default() };
        assert_eq!(slow.validate().map_err(|e| e.to_string()), Err("`drain_s`: allowed is 0 to 600 (seconds)".into()));
    }

    #[test]
    fn a_second_init_is_an_error_and_not_a_panic() {
        let first = init(&Config::default());
        assert!(init(&Config::default()).is_err(), "{first:?}");
    }
}
