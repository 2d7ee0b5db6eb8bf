use super::*;

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn value(root: &str, path: Vec<Step>, spec: &str, at: Range<usize>) -> Part {
    Part::Value(Placeholder { root: root.to_owned(), path, spec: spec.to_owned(), at })
}

fn good(source: &str) -> Vec<Part> {
    let (template, mistakes) = parse(source);
    assert_eq!(mistakes, [], "{source}");
    template.parts
}

#[test]
fn text_and_placeholders() {
    assert_eq!(good(""), []);
    assert_eq!(good("plain > {text}"), [text("plain > {text}")]);
    assert_eq!(good("<id>"), [value("id", vec![], "", 1..3)]);
    assert_eq!(good("a:<id>:b"), [text("a:"), value("id", vec![], "", 3..5), text(":b")]);
    assert_eq!(good("ü:<größe>"), [text("ü:"), value("größe", vec![], "", 4..11)]);
}

#[test]
fn a_doubled_bracket_is_a_plain_one() {
    assert_eq!(good("a<<b"), [text("a<b")]);
    assert_eq!(good("<<id>"), [text("<id>")]);
    assert_eq!(good("<<<id>"), [text("<"), value("id", vec![], "", 3..5)]);
}

#[test]
fn paths_calls_indices_and_formats() {
    let field = |name: &str| Step::Field(name.to_owned());
    let id = || vec![field("user"), field("id")];
    assert_eq!(good("<req.user.id>"), [value("req", id(), "", 1..4)]);
    assert_eq!(good("<req.user.id:05>"), [value("req", id(), "05", 1..4)]);
    assert_eq!(good("<t.0.1>"), [value("t", vec![Step::Index(0), Step::Index(1)], "", 1..2)]);
    assert_eq!(good("<t.type>"), [value("t", vec![field("type")], "", 1..2)]);
    let tenant = vec![Step::Call("tenant".to_owned())];
    assert_eq!(good("<self.tenant()>"), [value("self", tenant, "", 1..5)]);
    assert_eq!(good("<id:>8>|"), [value("id", vec![], ">8", 1..3), text("|")]);
    assert_eq!(good("<id:*<8>"), [value("id", vec![], "*<8", 1..3)]);
}

#[test]
fn the_character_behind_a_value_ends_it() {
    let (template, _) = parse("<a>:<b>é<c>");
    assert_eq!([0, 2, 4].map(|index| template.stop(index)), [Some(':'), Some('é'), None]);
}

#[test]
fn every_mistake_is_found_where_it_is() {
    for (source, places) in [
        ("<>", &[(0, 2)][..]),
        ("a:<id", &[(2, 5)]),
        ("a:<id:05", &[(2, 8)]),
        ("<a:<b>", &[(0, 3)]),
        ("< id>", &[(0, 5)]),
        ("<a + b>", &[(0, 7)]),
        ("<a.b(1)>", &[(0, 8)]),
        ("<a.-1>", &[(0, 6)]),
        ("<0>", &[(0, 3)]),
        ("<a..b>", &[(0, 6)]),
        ("<a><b>", &[(3, 6)]),
        ("<a>%", &[(0, 3)]),
        ("<a.self>", &[(0, 8)]),
        ("<a²>", &[(0, 5)]),
        ("<a.b²>", &[(0, 7)]),
        ("<a/**/>", &[(0, 7)]),
        ("<id:5q>", &[(0, 7)]),
        ("<id:w$>", &[(0, 7)]),
        ("<>:<a>:<_>", &[(0, 2), (7, 10)]),
    ] {
        let (_, mistakes) = parse(source);
        let found: Vec<_> =
            mistakes.iter().map(|mistake| (mistake.at.start, mistake.at.end)).collect();
        assert_eq!(found, places, "{source}");
    }
}

/// All texts of up to five characters that mean something in a template.
#[test]
fn whatever_is_written_is_read() {
    const CHARS: [char; 10] = ['<', '>', ':', '.', 'a', 'é', '5', '%', '*', '('];
    let mut texts = vec![String::new()];
    for length in 0..5 {
        let longer = texts.iter().filter(|text| text.chars().count() == length);
        let longer = longer.flat_map(|text| CHARS.map(|c| format!("{text}{c}")));
        texts.extend(longer.collect::<Vec<_>>());
    }
    for text in texts {
        let (template, mistakes) = parse(&text);
        let places = template.values().map(|value| &value.at);
        for place in places.chain(mistakes.iter().map(|mistake| &mistake.at)) {
            assert!(text.get(place.clone()).is_some_and(|part| !part.is_empty()), "{text}");
        }
        let plain = text.replace("<<", "");
        assert!(plain.contains('<') || mistakes.is_empty() && template.parts.len() < 2, "{text}");
    }
}
