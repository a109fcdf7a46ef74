//! The report that is committed, held to the results that are committed: no figure without a run, no run without its figures.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use podlane_perf::picture::{PICTURES, REPORT, RESULTS};

/// The binary's `report`, for a folder.
fn report(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podlane-perf"))
        .arg("report")
        .arg("--folder")
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

/// What it said against it.
fn refusal(folder: &Path) -> String {
    let output = report(folder, &["--check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with the committed results in it, for one test.
fn copy(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join(RESULTS)).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(RESULTS)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(RESULTS).join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn the_committed_report_is_what_the_committed_results_make_of_it() {
    let output = report(Path::new(env!("CARGO_MANIFEST_DIR")), &["--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_figure_changed_by_hand_and_a_picture_of_nothing_are_found_by_name() {
    let folder = copy("report-by-hand");
    assert!(report(&folder, &[]).status.success());
    assert!(report(&folder, &["--check"]).status.success());

    let page = folder.join(REPORT);
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&page, text.replacen("| podlane", "| podlane, as one wishes", 1)).unwrap();
    assert!(refusal(&folder).contains(&format!("{} is not what the stored results make of it", page.display())));

    fs::write(&page, &text).unwrap();
    let extra = folder.join(PICTURES).join("nothing.svg");
    fs::write(&extra, "<svg/>").unwrap();
    assert!(refusal(&folder).contains(&extra.display().to_string()));
    assert!(report(&folder, &[]).status.success());
    assert!(!extra.exists(), "a picture that is no longer in the report is taken away");
    assert_eq!(fs::read_to_string(&page).unwrap(), text);
}

#[test]
fn a_result_that_no_section_shows_is_refused() {
    let folder = copy("report-unknown");
    let stray = folder.join(RESULTS).join("stray.json");
    fs::write(&stray, "{}").unwrap();
    assert!(refusal(&folder).contains(&format!("{} is in no section of the report", stray.display())));
}

/// The pictures and links of the report lead somewhere.
#[test]
fn everything_the_report_points_to_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(folder.join(REPORT)).unwrap();
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links.iter().filter(|link| !link.starts_with("http")) {
        let file = link.split('#').next().unwrap();
        assert!(folder.join(file).exists(), "{REPORT} points to {link}");
    }
}
