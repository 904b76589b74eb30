//! Two test suites beside each other against one server.

use std::thread;

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};

use crate::client::{Answer, INBOX_INIT, Line, Upload, plan, post, started};

/// A suite: all it does carries its own bearer.
struct Suite<'a> {
    emulator: &'a Emulator,
    token: &'a str,
}

impl Suite<'_> {
    fn control(&self, method: &str, page: &str, body: &str) -> Answer {
        let mut line = Line::open(self.emulator);
        let (length, bearer) = (body.len().to_string(), format!("Bearer {}", self.token));
        let headers = [("content-length", &*length), ("authorization", &*bearer)];
        line.head(method, &format!("/_emulator/{page}"), &headers);
        line.send(body.as_bytes()).unwrap();
        line.answer().unwrap()
    }

    fn log(&self) -> Value {
        self.control("GET", "log", "").json()
    }

    /// A draft in the inbox.
    fn draft(&self) -> Upload {
        let upload = Upload::init_for(self.emulator, self.token, 1000);
        while upload.put(self.emulator, 0, 1000).status != 201 {}
        upload
    }
}

#[test]
fn two_suites_at_once_see_nothing_of_each_other() {
    let emulator = started(&["limits=off"], &[]);
    let (lena, olga) = (
        Suite {
            emulator: &emulator,
            token: "act.lena.1",
        },
        Suite {
            emulator: &emulator,
            token: "act.olga.1",
        },
    );
    let gate = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(
                lena.control("PUT", "settings", "param_code=invalid_param")
                    .status,
                200
            );
            lena.control("POST", "faults", "put nth=1-20 status=503");
            gate.wait();
            for _ in 0..20 {
                lena.draft();
            }
            assert_eq!(
                post(&emulator, INBOX_INIT, lena.token, &plan(1, 1, 2)).code(),
                "invalid_param"
            );
        });
        scope.spawn(|| {
            gate.wait();
            for _ in 0..20 {
                olga.draft();
            }
            assert_eq!(
                post(&emulator, INBOX_INIT, olga.token, &plan(1, 1, 2)).code(),
                "invalid_params"
            );
        });
    });

    let (hers, others) = (lena.log(), olga.log());
    for (log, whose) in [(&hers, "lena"), (&others, "olga")] {
        assert_eq!((&log["inits"], &log["drafts"]), (&json!(20), &json!(20)));
        for list in ["sessions", "recent", "faults"] {
            let list = log[list].as_array().unwrap();
            assert!(list.iter().all(|one| one["creator"] == whose), "{whose}");
        }
        assert_eq!(log["requests"]["init"], 21);
    }
    assert_eq!(
        (&hers["requests"]["put"], &others["requests"]["put"]),
        (&json!(40), &json!(20))
    );
    assert_eq!(
        (
            hers["faults"].as_array().unwrap().len(),
            others["faults"].as_array().unwrap().len()
        ),
        (20, 0)
    );
    assert_eq!(
        olga.control("GET", "faults", "").json(),
        json!({"faults": []})
    );

    // Neither posts, discards or forgets what is the other's.
    let id = &hers["sessions"][0]["publish_id"];
    let deed = json!({"publish_id": id}).to_string();
    assert_eq!(olga.control("POST", "post", &deed).status, 400);
    assert_eq!(olga.control("POST", "discard", &deed).status, 400);
    assert_eq!(lena.control("POST", "post", &deed).status, 200);
    assert_eq!(lena.control("POST", "unpublish", &deed).status, 200);
    olga.control("POST", "reset", "");
    assert_eq!(
        olga.log()["requests"],
        json!({"init": 0, "put": 0, "status": 0, "token": 0, "other": 0})
    );
    assert_eq!(lena.log()["drafts"], 20);
}

#[test]
fn a_discarded_draft_frees_its_place_and_a_posted_one_stays_posted() {
    let emulator = started(&["pending_cap=1"], &[]);
    let lena = Suite {
        emulator: &emulator,
        token: "act.lena.1",
    };
    let first = lena.draft();
    let deed = |upload: &Upload| json!({"publish_id": upload.publish_id}).to_string();
    let wish = plan(1000, 1000, 1);
    assert_eq!(post(&emulator, INBOX_INIT, lena.token, &wish).status, 403);
    assert_eq!(lena.control("POST", "discard", &deed(&first)).status, 200);
    assert_eq!(first.status(&emulator)["status"], "SEND_TO_USER_INBOX");
    // What is gone can be neither posted nor discarded again.
    assert_eq!(lena.control("POST", "post", &deed(&first)).status, 400);
    let second = lena.draft();
    assert_eq!(lena.control("POST", "post", &deed(&second)).status, 200);
    assert_eq!(lena.control("POST", "discard", &deed(&second)).status, 400);
    // No setting takes back what a creator did.
    emulator.set("fail_reason", "internal").unwrap();
    let status = second.status(&emulator);
    assert_eq!(status["status"], "PUBLISH_COMPLETE");
    assert!(status["publicaly_available_post_id"][0].as_u64().unwrap() > 1 << 53);
    assert_eq!(post(&emulator, INBOX_INIT, lena.token, &wish).status, 200);
}

#[test]
fn a_draft_that_has_not_arrived_cannot_be_posted() {
    let emulator = started(&["processing_time=1h"], &[]);
    let lena = Suite {
        emulator: &emulator,
        token: "act.lena.1",
    };
    let upload = lena.draft();
    let deed = json!({"publish_id": upload.publish_id}).to_string();
    assert_eq!(lena.control("POST", "post", &deed).status, 400);
    assert_eq!(lena.control("POST", "post", "{}").status, 400);
    assert_eq!(upload.status(&emulator)["status"], "PROCESSING_UPLOAD");
}
