//! Which run is meant: by file, by name, or because there is only one.

use super::{Place, WEB};

fn with_runs(names: &[&str]) -> Place {
    let place = Place::new();
    for name in names {
        let file = format!("{name}.yaml");
        place.write(&file, &WEB.replace("name: web\nservice", &format!("name: {name}\nservice")));
        place.run(&["start", &file, "--sandbox"]).exits(0);
    }
    place
}

fn run(place: &Place, args: &[&str]) -> String {
    let object = place.run(&[&["status", "--json"], args].concat()).exits(0).object();
    object["run"].as_str().unwrap().to_owned()
}

#[test]
fn by_name_by_file_or_alone() {
    let place = with_runs(&["one", "two"]);
    assert_eq!(run(&place, &["one"]), "one");
    assert_eq!(run(&place, &["two.yaml"]), "two");
    assert_eq!(run(&place, &["./two.yaml"]), "two");
    for verb in ["status", "advance", "rollback", "finish", "history"] {
        place.run(&[verb]).exits(2).tells("one (ready), two (ready)");
    }
    place.run(&["status", "three"]).exits(2).tells("there is no run `three`").tells("one (ready)");
    // A run that is closed is not in the way of the only open one.
    place.run(&["rollback", "one"]).exits(0);
    assert_eq!(run(&place, &[]), "two");
    assert_eq!(run(&place, &["one"]), "one");
}

#[test]
fn in_the_directory_that_is_given() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.run(&["start", "web.yaml", "--sandbox", "--state", "a"]).exits(0);
    assert!(place.path("a/web/journal.jsonl").exists() && !place.path(".migrate").exists());
    assert_eq!(run(&place, &["--state", "a"]), "web");
    place.run_with(&["status"], &[("MIGRATE_STATE", "a")]).exits(0);
    place.run(&["status"]).exits(2);
    // The playbook's own state directory holds for its run, found by the file.
    place.write("other.yaml", &format!("{}state: b\n", WEB.replace("name: web\nservice", "name: other\nservice")));
    place.run(&["start", "other.yaml", "--sandbox"]).exits(0);
    assert!(place.path("b/other/journal.jsonl").exists());
    assert_eq!(run(&place, &["other.yaml"]), "other");
    place.run(&["status", "--state", "s3://bucket/prefix"]).exits(2).tells("is not a directory");
}
