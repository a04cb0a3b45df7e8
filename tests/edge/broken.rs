//! Bad input: files that are missing, wrong or damaged. Nothing is contacted, nothing is changed.

use super::{Place, WEB};

#[test]
fn playbooks() {
    let place = Place::new();
    place.write("wrong.yaml", &WEB.replace("cluster: prod, ", "").replace("10%", "ten"));
    std::fs::create_dir(place.path("folder")).unwrap();
    for verb in ["validate", "plan", "start", "rehearse", "assess"] {
        place.run(&[verb, "nowhere.yaml"]).exits(2).tells("cannot read the playbook nowhere.yaml");
        place.run(&[verb, "folder"]).exits(2).tells("cannot read the playbook folder");
        // All mistakes at once, with their lines.
        place.run(&[verb, "wrong.yaml"]).exits(2).tells("wrong.yaml:3").tells("wrong.yaml:8");
    }
    let object = place.run(&["validate", "wrong.yaml", "--json"]).exits(2).object();
    assert_eq!(object["outcome"], "usage");
    assert_eq!(object["findings"].as_array().unwrap().len(), 2, "{object}");
    assert!(!place.path(".migrate").exists());
}

#[test]
fn variables() {
    let place = Place::new();
    place.write("web.yaml", &WEB.replace("prod", "\"${CLUSTER}\""));
    place.run(&["validate", "web.yaml"]).exits(2).tells("CLUSTER");
    place.run(&["validate", "web.yaml", "--var", "CLUSTER=eu"]).exits(0);
    place.run_with(&["validate", "web.yaml"], &[("CLUSTER", "eu")]).exits(0);
    place.run(&["validate", "web.yaml", "--var", "CLUSTER"]).exits(2).tells("has no `=`");
    place.run(&["validate", "web.yaml", "--var", "CLUSTER=eu", "--var", "X=1"]).exits(2).tells("has no variable `X`");
}

#[test]
fn arguments() {
    let place = Place::new();
    for args in [
        &[][..],
        &["migrate"],
        &["start"],
        &["status", "--json", "--events"],
        &["start", "web.yaml", "--sandbox=sunny"],
        &["start", "web.yaml", "--seed", "1"],
        &["advance", "--all", "--no-wait"],
    ] {
        let done = place.run(args).exits(2);
        // A program that asked for an object gets one, whatever else is wrong with the arguments.
        assert_eq!(done.out.is_empty(), !args.contains(&"--json"), "{done:?}");
        assert!(!done.err.is_empty(), "{done:?}");
    }
    place.run(&["--help"]).exits(0);
    place.run(&["--version"]).exits(0).says("migrate 0.");
}

/// A line in the middle that was changed is damage, and damage is never guessed around.
#[test]
fn a_damaged_journal_is_refused_with_its_line() {
    let place = Place::started();
    let journal = place.read(".migrate/web/journal.jsonl");
    let damaged: Vec<String> = journal
        .lines()
        .enumerate()
        .map(|(i, line)| if i == 2 { line.replace("\"seq\":3", "\"seq\":4") } else { line.to_owned() })
        .collect();
    place.write(".migrate/web/journal.jsonl", &(damaged.join("\n") + "\n"));
    for verb in ["status", "advance", "rollback", "history"] {
        place.run(&[verb, "web"]).exits(1).tells("damaged at line 3");
    }
    place.run(&["start", "web.yaml"]).exits(1).tells("damaged at line 3");
    // The torn tail of a write that never counted is no damage.
    place.write(".migrate/web/journal.jsonl", &format!("{journal}0123abcd {{\"seq\":"));
    place.run(&["status", "web"]).exits(0);
    place.run(&["advance"]).exits(0);
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    let place = Place::started();
    let journal = place.read(".migrate/web/journal.jsonl");
    let (first, rest) = journal.split_once('\n').unwrap();
    let json = first.split_once(' ').unwrap().1.replacen("\"format\":1", "\"format\":2", 1);
    let newer = format!("{:08x} {json}\n{rest}", crc32fast::hash(json.as_bytes()));
    place.write(".migrate/web/journal.jsonl", &newer);
    place.run(&["advance", "web"]).exits(1).tells("newer version");
    assert_eq!(place.read(".migrate/web/journal.jsonl"), newer);
}

#[test]
fn a_sandbox_that_is_gone_is_named() {
    let place = Place::started();
    std::fs::remove_file(place.path(".migrate/web/universe.json")).unwrap();
    place.run(&["advance"]).exits(1).tells("universe.json");
}
