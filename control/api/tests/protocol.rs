//! What `docs/protocol.md` shows is what is spoken: every line of its JSON is read and written again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use podlane_api::{Connection, Request};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");
const TIMEOUT: Duration = Duration::from_secs(2);

/// The lines of the document's JSON blocks that have `key`.
fn lines(key: &str) -> Vec<(&'static str, Value)> {
    let blocks = DOCUMENT.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    let parsed = |line| (line, serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    blocks.flat_map(str::lines).map(parsed).filter(|(_, value)| value.get(key).is_some()).collect()
}

#[test]
fn every_request_of_the_document_is_understood() {
    let requests = lines("request");
    assert!(requests.len() >= 14);
    for (line, _) in requests {
        let (mut client, daemon) = UnixStream::pair().unwrap();
        writeln!(client, "{line}").unwrap();
        assert!(Connection::new(daemon, TIMEOUT).hear().unwrap().is_ok(), "{line}");
    }
}

#[test]
fn every_answer_of_the_document_is_read_and_written_the_same() {
    let answers: Vec<_> = lines("reply").into_iter().chain(lines("refusal")).collect();
    assert!(answers.len() >= 29);
    for (line, documented) in answers {
        let (client, mut daemon) = UnixStream::pair().unwrap();
        writeln!(daemon, "{line}").unwrap();
        let read =
            Connection::new(client, TIMEOUT).ask(&Request::Status).unwrap_or_else(|error| panic!("{error}: {line}"));

        let (client, daemon) = UnixStream::pair().unwrap();
        Connection::new(daemon, TIMEOUT).answer(read).unwrap();
        let mut written = String::new();
        BufReader::new(client).read_line(&mut written).unwrap();
        let mut written: Value = serde_json::from_str(&written).unwrap();
        if documented.get("message").is_some() {
            assert!(
                written["message"].as_str().is_some_and(|message| message.ends_with(')')),
                "a remedy ends {written}"
            );
            written["message"] = "...".into();
        }
        assert_eq!(written, documented);
    }
}
