//! All bytes of an object by one request, for a copy of what cannot be read as one version.

use std::io;

use futures::stream::{self, StreamExt};
use object_store::GetOptions;

use super::location::Location;
use super::settings::BucketSettings;
use super::trouble::Trouble;
use super::{store, wire};
use crate::error::Error;
use crate::source::media::Whole;

/// Asks for all of the object. The stream gives an error if the connection breaks, or gives fewer or more bytes than the server has stated.
pub(crate) async fn whole(url: &str, settings: &BucketSettings) -> Result<Whole, Error> {
    let location = Location::parse(url)?;
    let opened = store::open(&location, settings, None)?;
    let answer = opened.store.get_opts(&location.key, GetOptions::default());
    let (answer, seen) = wire::seeing(answer).await;
    let answer = answer
        .map_err(|error| Trouble::of(&error, &seen, opened.source).at_opening(&location.address))?;
    let size = answer.meta.size;
    let begin = (answer.into_stream(), size);
    let bytes = stream::try_unfold(begin, move |(mut body, left)| {
        let address = location.address.clone();
        async move {
            let trouble = match body.next().await {
                Some(Ok(piece)) if piece.len() as u64 <= left => {
                    let left = left - piece.len() as u64;
                    return Ok(Some((piece, (body, left))));
                }
                None if left == 0 => return Ok(None),
                Some(Ok(_)) => Trouble::too_many(),
                None => Trouble::too_few(),
                Some(Err(error)) => Trouble::broken(&error),
            };
            Err::<_, io::Error>(trouble.while_reading(&address))
        }
    });
    Ok(Whole {
        size: Some(size),
        bytes: bytes.boxed(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use futures::TryStreamExt;

    use super::*;

    /// A server for one request, whose object has a length and no ETag.
    fn server(length: usize, body: &'static [u8]) -> BucketSettings {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a request");
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        });
        BucketSettings::new()
            .variable("AWS_ENDPOINT_URL", &url)
            .variable("AWS_SKIP_SIGNATURE", "true")
    }

    #[tokio::test]
    async fn an_object_without_a_validator_is_copied_to_its_end_or_not_at_all() {
        for (length, whole) in [(5, true), (6, false)] {
            let settings = server(length, b"12345");
            let open = super::whole("s3://b/clip.mp4", &settings).await;
            let mut object = open.expect("an answer");
            assert_eq!(object.size, Some(length as u64));
            let mut copied = Vec::new();
            let ended = loop {
                match object.bytes.try_next().await {
                    Ok(Some(piece)) => copied.extend_from_slice(&piece),
                    ended => break ended,
                }
            };
            assert_eq!(copied, b"12345");
            assert_eq!(ended.is_ok(), whole, "{ended:?}");
        }
    }
}
