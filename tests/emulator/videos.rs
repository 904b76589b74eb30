//! The pages of `video/list`.

use std::collections::BTreeSet;

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};

use crate::client::{TOKEN, Upload, plan, post, started};

const DIRECT_INIT: &str = "/v2/post/publish/video/init/";

fn publish(emulator: &Emulator, title: &str) {
    let mut body = plan(10, 10, 1);
    body["post_info"] = json!({"privacy_level": "PUBLIC_TO_EVERYONE", "title": title});
    let upload = Upload::of(&post(emulator, DIRECT_INIT, TOKEN, &body), 10);
    assert_eq!(upload.put(emulator, 0, 10).status, 201);
}

fn page(emulator: &Emulator, body: &Value) -> Value {
    let answer = post(
        emulator,
        "/v2/video/list/?fields=id,title,create_time,embed_html",
        TOKEN,
        body,
    );
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["data"].clone()
}

#[test]
fn no_video_is_skipped_or_told_twice_however_close_together_they_were_posted() {
    // The first setting makes a second of this clock last for a quarter of an hour.
    for clock in ["clock=0.001x", "clock=real"] {
        let emulator = started(&[clock, "limits=off"], &[]);
        for number in 0..25 {
            publish(&emulator, &number.to_string());
        }
        for (max_count, pages) in [(Some(1), 25), (Some(7), 4), (None, 3), (Some(20), 2)] {
            let (mut ids, mut titles, mut times) = (BTreeSet::new(), Vec::new(), Vec::new());
            let mut body = json!({});
            if let Some(most) = max_count {
                body["max_count"] = json!(most);
            }
            let mut asked = 0;
            loop {
                let page = page(&emulator, &body);
                asked += 1;
                let videos = page["videos"].as_array().unwrap();
                assert!(videos.len() <= max_count.unwrap_or(10));
                for video in videos {
                    ids.insert(video["id"].as_str().unwrap().to_owned());
                    titles.push(video["title"].as_str().unwrap().parse::<u64>().unwrap());
                    times.push(video["create_time"].as_u64().unwrap());
                }
                assert!(asked <= 25, "the pages have no end");
                if page["has_more"] == false {
                    break;
                }
                body["cursor"] = page["cursor"].clone();
            }
            assert_eq!((ids.len(), asked), (25, pages), "{clock} {max_count:?}");
            assert_eq!(titles, (0..25).rev().collect::<Vec<_>>(), "{clock}");
            assert!(times.is_sorted_by(|newer, older| newer >= older));
        }
    }
}

#[test]
fn a_title_never_becomes_markup_on_the_page_that_embeds_its_video() {
    let emulator = started(&[], &[]);
    publish(&emulator, "<script>alert('\"')</script>");
    let html = page(&emulator, &json!({}))["videos"][0]["embed_html"].clone();
    let html = html.as_str().unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;"), "{html}");
}
