//! Every seed and every input that ever crashed a target, once more.

use std::path::Path;

use super::TARGETS;

fn replay(kind: &str) {
    for (name, run) in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name);
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn regressions() {
    replay("regressions");
}

#[test]
fn seeds() {
    replay("seeds");
}

#[test]
fn every_target_has_seeds_and_a_place_for_regressions() {
    for (name, _) in TARGETS {
        for kind in ["seeds", "regressions"] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name);
            assert!(directory.is_dir(), "{} is missing", directory.display());
        }
    }
}
