//! One screen that shows what every request goes through.

use std::fmt::Write;

use adapter_http::routes;
use traffic::{
    Class, Policies,
    policies::{Mode, Policy},
};

/// Every public route: method, path, class, priority, and each policy that speaks about it with the units it takes.
pub(crate) fn of(policies: &Policies) -> String {
    let longest = routes::TABLE.iter().map(|route| route.path.len()).max().unwrap_or(0);
    let mut screen = format!("{:<7} {:<longest$}  {:<9} P  policies (units)\n", "method", "path", "class");
    for route in routes::TABLE {
        let (class, priority) = (route.class.name(), route.priority.index());
        // Writing to a string does not fail.
        let _ = write!(screen, "{:<7} {:<longest$}  {class:<9} {priority} ", route.method, route.path);
        screen.push_str(&units(policies, route.class));
        screen.push('\n');
    }
    let all: String = units(policies, Class::Catalogue);
    let _ = write!(screen, "{:<7} {:<longest$}  {:<9} 4 {all}", "any", "what is no route", Class::Catalogue.name());
    screen
}

fn units(policies: &Policies, class: Class) -> String {
    let one = |(policy, cost): (&Policy, u32)| {
        let shadow = if policy.mode == Mode::Shadow { " in shadow" } else { "" };
        format!(" {} {cost}{shadow}", policy.name)
    };
    policies.of_class(class).map(one).collect::<Vec<_>>().join(",")
}
