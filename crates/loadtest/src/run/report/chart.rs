//! A chart over time: an SVG that stretches to the page's width, with its words beside it as HTML, so that they keep
//! their size on a telephone.
//!
//! Inside the SVG x goes from 0 to [`WIDE`] whatever the width, y is in pixels from the top.

use std::fmt::Write;

use super::{
    scale::{Scale, ticks},
    text::esc,
    time::{Time, WIDE},
};

/// Between two names in the legend, pixels.
const LEGEND_PX: f64 = 17.0;
/// Ticks of the time axis.
const TIMES: usize = 8;
/// Columns that tell their values when pointed at; of more, every so many-th.
const COLUMNS: usize = 600;

/// A chart.
pub(super) struct Chart {
    pub(super) title: String,
    /// What a reader must know to read it.
    pub(super) about: String,
    /// Pixels.
    pub(super) height: f64,
    pub(super) scale: Scale,
    /// A value of it as text, with the unit.
    pub(super) shown: fn(f64) -> String,
    pub(super) lines: Vec<Line>,
    /// Values that are the same all the time: name, colour, value.
    pub(super) marks: Vec<(String, &'static str, f64)>,
}

/// One value for each column.
pub(super) struct Line {
    pub(super) name: String,
    /// A class of the style sheet.
    pub(super) colour: &'static str,
    pub(super) draw: Draw,
    pub(super) values: Vec<Option<f64>>,
}

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    /// From the middle of one column to the middle of the next: what is of a whole column.
    Between,
    /// At the columns' ends: what was looked at there.
    AtEnds,
    /// Flat within a column.
    Steps,
    /// Filled, on top of the filled lines before it.
    Stacked,
    /// A bar for each column, with air between them.
    Bars,
}

impl Chart {
    /// Whether there is anything to see.
    pub(super) fn has_data(&self) -> bool {
        self.lines.iter().any(|line| line.values.iter().any(Option::is_some))
    }

    /// The whole figure.
    pub(super) fn html(&self, time: &Time) -> String {
        let (h, title) = (self.height, esc(&self.title));
        let mut out = format!(
            "<figure class=\"chart\"><figcaption><b>{title}</b> <span>{}</span></figcaption><div class=\"grid\">\n<div class=\"phases\">",
            esc(&self.about)
        );
        out.push_str(&time.names());
        let _ = write!(out, "</div>\n<div class=\"y\" style=\"height:{h}px\">");
        for tick in &self.scale.ticks {
            let _ = write!(out, "<span style=\"top:{:.1}px\">{}</span>", self.y(*tick), (self.shown)(*tick));
        }
        let _ = write!(out, "</div>\n<div class=\"plot\" style=\"height:{h}px\">{}</div>\n", self.svg(time));
        let _ = write!(out, "<div class=\"legend\" style=\"height:{h}px\">");
        for (name, colour, top) in self.legend() {
            let _ = write!(out, "<span class=\"{colour}\" style=\"top:{top:.0}px\"><i></i>{}</span>", esc(name));
        }
        let _ = write!(out, "</div>\n<div class=\"x\">");
        for tick in ticks(time.to_s, TIMES).into_iter().filter(|tick| *tick <= time.to_s * 1.001) {
            let _ = write!(out, "<span style=\"left:{:.2}%\">{tick} s</span>", time.percent(tick));
        }
        out + "</div></div></figure>\n"
    }

    fn svg(&self, time: &Time) -> String {
        let h = self.height;
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDE} {h}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            esc(&self.title)
        );
        for (index, phase) in time.phases.iter().enumerate() {
            let class = if phase.is_peak { "peak" } else { ["even", "odd"][index % 2] };
            let (from, to) = (time.x(phase.from_s), time.x(phase.to_s));
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{h}\"/>",
                to - from
            );
        }
        for tick in &self.scale.ticks {
            let y = self.y(*tick);
            let _ = write!(out, "<path class=\"rule\" d=\"M0 {y:.1}H{WIDE}\"/>");
        }
        let mut below = vec![0.0; time.columns.len()];
        for line in &self.lines {
            let (class, d) = match line.draw {
                Draw::Stacked => {
                    let sums = below.iter().zip(&line.values);
                    let top: Vec<_> = sums.map(|(below, value)| below + value.unwrap_or(0.0)).collect();
                    let d = self.area(time, &below, &top);
                    below = top;
                    ("area", d)
                }
                Draw::Bars => ("area", self.bars(time, line)),
                Draw::Between | Draw::AtEnds | Draw::Steps => ("line", path(&self.points(time, line))),
            };
            let _ = write!(out, "<path class=\"{class} {}\" d=\"{d}\"/>", line.colour);
            if class == "line" {
                let _ = write!(out, "<path class=\"dot {}\" d=\"{}\"/>", line.colour, dots(&self.points(time, line)));
            }
        }
        for (_, colour, value) in &self.marks {
            let _ = write!(out, "<path class=\"line {colour} mark\" d=\"M0 {:.1}H{WIDE}\"/>", self.y(*value));
        }
        self.columns(time, &mut out);
        out + "</svg>"
    }

    /// What is under the pointer says its values.
    fn columns(&self, time: &Time, out: &mut String) {
        let every = time.columns.len().div_ceil(COLUMNS).max(1);
        for (index, from) in time.columns.iter().enumerate().step_by(every) {
            let (x, width) = (time.x(*from), time.x(from + time.column_s * every as f64) - time.x(*from));
            let _ = write!(
                out,
                "<rect class=\"see\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{}\"><title>",
                self.height
            );
            let phase = time.phases.iter().find(|phase| (phase.from_s..phase.to_s).contains(from));
            let _ = write!(out, "{from} s{}", phase.map(|phase| format!(", {}", esc(&phase.name))).unwrap_or_default());
            for line in &self.lines {
                let value = line.values.get(index).copied().flatten();
                let _ = write!(out, "\n{}: {}", esc(&line.name), value.map_or_else(|| "no data".into(), self.shown));
            }
            out.push_str("</title></rect>");
        }
    }

    fn y(&self, value: f64) -> f64 {
        self.height * (1.0 - self.scale.place(value))
    }

    /// A line's points, in pieces between its gaps.
    fn points(&self, time: &Time, line: &Line) -> Vec<Option<(f64, f64)>> {
        let mut points = Vec::new();
        for (from, value) in time.columns.iter().zip(&line.values) {
            let Some(value) = value else {
                points.push(None);
                continue;
            };
            let y = self.y(*value);
            match line.draw {
                Draw::Between => points.push(Some((time.x(from + time.column_s / 2.0), y))),
                Draw::AtEnds => points.push(Some((time.x(from + time.column_s), y))),
                Draw::Steps | Draw::Stacked | Draw::Bars => {
                    points.extend([Some((time.x(*from), y)), Some((time.x(from + time.column_s), y))]);
                }
            }
        }
        points
    }

    /// Along the tops, and back along the bottoms.
    fn area(&self, time: &Time, below: &[f64], top: &[f64]) -> String {
        let edge = |heights: &[f64]| -> Vec<(f64, f64)> {
            let columns = time.columns.iter().zip(heights);
            columns
                .flat_map(|(from, value)| {
                    let y = self.y(*value);
                    [(time.x(*from), y), (time.x(from + time.column_s), y)]
                })
                .collect()
        };
        let outline = edge(top).into_iter().chain(edge(below).into_iter().rev());
        path(&outline.map(Some).collect::<Vec<_>>()) + "Z"
    }

    fn bars(&self, time: &Time, line: &Line) -> String {
        let air = time.column_s * 0.08;
        let mut out = String::new();
        for (from, value) in time.columns.iter().zip(&line.values) {
            let Some(value) = value.filter(|value| *value > 0.0) else { continue };
            let (left, right) = (time.x(from + air), time.x(from + time.column_s - air));
            let _ = write!(out, "M{left:.1} {}V{:.1}H{right:.1}V{}Z", self.height, self.y(value), self.height);
        }
        out
    }

    /// Each name, its colour, and how far from the top it stands: beside the end of its line, none on top of another.
    fn legend(&self) -> Vec<(&str, &'static str, f64)> {
        let is_stacked = self.lines.iter().any(|line| line.draw == Draw::Stacked);
        let lines = self.lines.iter().filter(|line| line.values.iter().any(Option::is_some)).map(|line| {
            let last = line.values.iter().rev().find_map(|value| *value).unwrap_or(0.0);
            (line.name.as_str(), line.colour, self.y(last))
        });
        let marks = self.marks.iter().map(|(name, colour, value)| (name.as_str(), *colour, self.y(*value)));
        let mut names: Vec<_> = lines.chain(marks).collect();
        if is_stacked {
            // As they lie on each other.
            names.reverse();
            names.iter_mut().enumerate().for_each(|(index, name)| name.2 = index as f64 * LEGEND_PX + 8.0);
        } else {
            names.sort_by(|a, b| a.2.total_cmp(&b.2).then_with(|| a.0.cmp(b.0)));
        }
        let last = names.len();
        let mut free = 7.0;
        for (index, name) in names.iter_mut().enumerate() {
            let lowest = self.height - 7.0 - (last - 1 - index) as f64 * LEGEND_PX;
            name.2 = name.2.min(lowest).max(free);
            free = name.2 + LEGEND_PX;
        }
        names
    }
}

/// A path through the points, broken where there is none.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut out = String::new();
    for piece in points.split(Option::is_none).filter(|piece| piece.len() > 1) {
        for (index, (x, y)) in piece.iter().flatten().enumerate() {
            let _ = write!(out, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
    }
    out
}

/// The points between two gaps, that no line goes through: lines without length, whose round ends are seen.
fn dots(points: &[Option<(f64, f64)>]) -> String {
    let alone = points.split(Option::is_none).filter(|piece| piece.len() == 1);
    alone.flatten().flatten().map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect()
}

#[cfg(test)]
#[path = "chart_test.rs"]
mod tests;
