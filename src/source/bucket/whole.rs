//! All bytes of an object by one request, for a copy of what cannot be read as one version.

use std::fmt;
use std::io;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::GetOptions;

use super::location::Location;
use super::settings::BucketSettings;
use super::trouble::Trouble;
use super::{store, wire};
use crate::error::Error;

/// An object that is read from its first byte to its last one.
pub(crate) struct Whole {
    address: String,
    size: u64,
    left: u64,
    body: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Whole {
    /// Asks for all of the object.
    pub(crate) async fn open(url: &str, settings: &BucketSettings) -> Result<Self, Error> {
        let location = Location::parse(url)?;
        let opened = store::open(&location, settings, None)?;
        let answer = opened.store.get_opts(&location.key, GetOptions::default());
        let (answer, seen) = wire::seeing(answer).await;
        let answer = answer.map_err(|error| {
            Trouble::of(&error, &seen, opened.source).at_opening(&location.address)
        })?;
        Ok(Self {
            address: location.address,
            size: answer.meta.size,
            left: answer.meta.size,
            body: answer.into_stream(),
        })
    }

    /// In bytes, as the server states it.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes; `None` behind the last one.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or gives fewer or more bytes than the server has stated. The copy has to begin anew.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let trouble = match self.body.next().await {
            Some(Ok(piece)) if piece.len() as u64 <= self.left => {
                self.left -= piece.len() as u64;
                return Ok(Some(piece));
            }
            None if self.left == 0 => return Ok(None),
            Some(Ok(_)) => Trouble::too_many(),
            None => Trouble::too_few(),
            Some(Err(error)) => Trouble::broken(&error),
        };
        Err(trouble.while_reading(&self.address))
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Whole").field(&self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

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
            let open = Whole::open("s3://b/clip.mp4", &settings).await;
            let mut object = open.expect("an answer");
            assert_eq!(object.size(), length as u64);
            let mut copied = Vec::new();
            let ended = loop {
                match object.next().await {
                    Ok(Some(piece)) => copied.extend_from_slice(&piece),
                    ended => break ended,
                }
            };
            assert_eq!(copied, b"12345");
            assert_eq!(ended.is_ok(), whole, "{ended:?}");
        }
    }
}
