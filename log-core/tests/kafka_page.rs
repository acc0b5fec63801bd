//! `docs/kafka.md` says what is served, and nothing else is.

use log_core::testing::wire::{SERVED, Versions};

/// Key, API, advertised, taken: as the page's first table has them.
fn rows_of_the_page() -> Vec<Vec<String>> {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kafka.md"));
    let served = page.split("## Served").nth(1).expect("the heading");
    let table = served
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.split('|')
            .skip(1)
            .take(4)
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    table.skip(2).map(cells).collect()
}

fn range(versions: Versions) -> String {
    format!("{}-{}", versions.first, versions.last)
}

#[test]
fn the_page_lists_exactly_the_apis_and_versions_that_are_served() {
    let mut served: Vec<_> = SERVED.iter().collect();
    served.sort_by_key(|api| api.key as i16);
    let rows: Vec<Vec<String>> = served
        .iter()
        .map(|api| {
            vec![
                (api.key as i16).to_string(),
                api.name.to_owned(),
                range(api.advertised),
                range(api.accepted),
            ]
        })
        .collect();
    assert_eq!(rows_of_the_page(), rows);
}
