//! Words and numbers as the page shows them. Everything that came from data goes through [`esc`].

use super::super::outcome::Figure;

/// Between groups of three digits: narrow, and no line breaks there.
const THIN: char = '\u{202f}';
/// In place of what was not measured.
pub(super) const NOTHING: &str = "–";

/// Text as HTML, also inside of a quoted attribute.
pub(super) fn esc(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

/// A whole number, its digits in groups.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// With as many digits as a reader needs: three that count, all of those before the point.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.001.. => 3,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, part) = rest.split_once('.').map_or((rest, None), |(whole, part)| (whole, Some(part)));
    let mut all = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        // Numbers of four digits are read without help, and stand in tables beside longer ones.
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            all.push(THIN);
        }
        all.push(digit);
    }
    if let Some(part) = part {
        all.push('.');
        all.push_str(part);
    }
    all
}

/// A share as percent. What is not everything never reads `100 %`, what is not nothing never `0 %`.
pub(super) fn percent(share: f64) -> String {
    let hundred = share * 100.0;
    let text = match share {
        0.99..1.0 => format!("{:.2}", (hundred * 100.0 + 1e-6).floor() / 100.0),
        f64::MIN_POSITIVE..0.0001 => return format!("&lt;{THIN}0.01{THIN}%"),
        0.0..0.01 => format!("{hundred:.2}"),
        _ => format!("{hundred:.1}"),
    };
    format!("{}{THIN}%", grouped(text.trim_end_matches('0').trim_end_matches('.')))
}

/// A share of two counts; nothing of nothing.
pub(super) fn share_of(part: u64, whole: u64) -> String {
    if whole == 0 { NOTHING.to_owned() } else { percent(part as f64 / whole as f64) }
}

/// Milliseconds, or that there are none.
pub(super) fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), number)
}

/// A value with its unit, both ready for the page.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "share" => percent(value),
        "" => number(value),
        "1/s" => format!("{}/s", number(value)),
        "us" => format!("{}{THIN}µs", number(value)),
        unit => format!("{}{THIN}{}", number(value), esc(unit)),
    }
}

/// A figure's value, or that there is none.
pub(super) fn figure(figure: &Figure) -> String {
    figure.value.map_or_else(|| "not measured".to_owned(), |value| with_unit(value, &figure.unit))
}

/// Seconds since 1970 as `2026-11-23 05:57 UTC` (proleptic Gregorian calendar; years begin in March while it is worked
/// out, so that the leap day is the last of its year).
pub(super) fn date(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count_in_groups_of_three() {
        let shown = [0.0, 0.12345, 2.5, 12.34, 999.4, 12_345.6, -1234.0, 0.000_02].map(number);
        let thin: Vec<_> = shown.iter().map(|text| text.replace(THIN, "_")).collect();
        assert_eq!(thin, ["0", "0.123", "2.5", "12.3", "999", "12_346", "−1_234", "2.0e-5"]);
        assert_eq!(count(1_234_567).replace(THIN, "_"), "1_234_567");
    }

    #[test]
    fn almost_everything_is_not_everything() {
        let shown = [1.0, 0.999_99, 0.995, 0.5, 0.001, 0.000_001, 0.0, 1.25].map(percent);
        let plain: Vec<_> = shown.iter().map(|text| text.replace(THIN, "")).collect();
        assert_eq!(plain, ["100%", "99.99%", "99.5%", "50%", "0.1%", "&lt;0.01%", "0%", "125%"]);
    }

    #[test]
    fn seconds_since_1970_are_a_date() {
        let dates = [0, 951_782_400, 1_795_413_420, 4_107_542_399].map(date);
        assert_eq!(
            dates,
            ["1970-01-01 00:00 UTC", "2000-02-29 00:00 UTC", "2026-11-23 05:57 UTC", "2100-02-28 23:59 UTC"]
        );
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(esc(r#"<b a="1" c='2'>&"#), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
    }
}
