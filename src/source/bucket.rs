//! A video in a bucket: S3 and servers that speak like it, Google Cloud Storage, Azure Blob Storage.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};

use super::media::{Media, MediaVersion};
use crate::clock;
use crate::error::Error;
use crate::secret::escaped::Escaped;

mod location;
mod profile;
mod reading;
mod settings;
mod store;
mod trouble;
mod whole;
mod wire;

use location::Location;
pub use settings::BucketSettings;
use store::Opened;
use trouble::Trouble;
pub(crate) use whole::whole;

/// Waits before the second and the third try to open an object.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// A video in a bucket, opened as one version of it. For [`Job::media`](crate::Job::media).
///
/// `s3://BUCKET/KEY` is in Amazon S3, or in a server that speaks like it; `gs://BUCKET/OBJECT` in Google Cloud Storage;
/// `az://CONTAINER/BLOB` in Azure Blob Storage. The key is taken as it is: nothing in it is percent-decoded.
///
/// Each request for a range names the ETag of the opened object, and its version id where the store keeps versions. ETag, size,
/// version and range of each answer are compared with what was asked for, since servers were seen that ignore the condition: an
/// object that was replaced ends the reading with [`io::ErrorKind::StaleNetworkFileHandle`].
///
/// A reading is one request. A connection that breaks, and a store that is busy, end it with a kind of error after which the engine
/// reads the rest of the range again ([`Media`] lists them). A store that refuses ends it with
/// [`io::ErrorKind::PermissionDenied`], and the upload in [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson): it keeps its
/// place. Any other kind says that another try does not help.
///
/// Cheap to clone. Dropping a stream ends its request.
///
/// ```no_run
/// use chunkferry::{Bucket, BucketSettings, Engine, Job};
///
/// # async fn example(engine: Engine, token: String) -> Result<(), chunkferry::Error> {
/// let clip = Bucket::open("s3://renders/lena/clip.mp4", &BucketSettings::from_env()).await?;
/// engine.upload(Job::media(clip).account("lena", token)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bucket(Arc<Object>);

/// The object as it was opened.
struct Object {
    address: String,
    store: Arc<dyn ObjectStore>,
    key: Path,
    /// Which of all stores: the host of an endpoint, the account in Azure. Empty for AWS and Google, whose buckets have names of
    /// their own in all the world.
    place: String,
    /// In bytes.
    size: u64,
    /// As the server gave it, with its quotes.
    e_tag: String,
    version: Option<String>,
    /// The credentials may read the object, but not a version of it by its id: that is another permission in S3.
    is_version_refused: AtomicBool,
}

impl Bucket {
    /// Asks the store for size and version of the object.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Usage`](crate::ErrorKind::Usage): the URL, or a setting, cannot be used. No request was made;
    /// - [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson): there are no credentials, or the store refuses them;
    /// - [`ErrorKind::Source`](crate::ErrorKind::Source): there is no such object, it lies in an archive, or the store states no
    ///   strong ETag, which alone would show that the object was replaced;
    /// - [`ErrorKind::Temporary`](crate::ErrorKind::Temporary): the store was not reached in three tries.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the request.
    pub async fn open(url: &str, settings: &BucketSettings) -> Result<Self, Error> {
        let location = Location::parse(url)?;
        let (opened, meta) = found(&location, settings).await?;
        let weak = match meta.e_tag.as_deref().map(unquoted) {
            None | Some("") => Some("the server states no ETag for it"),
            Some(tag) if tag.starts_with("W/") => Some("its ETag is a weak one"),
            Some(_) => None,
        };
        if let Some(why) = weak {
            return Err(Error::no_strong_validator(&location.address, why));
        }
        // An object from before its bucket kept versions, which the next one replaces under the same id.
        let version = meta.version.filter(|version| version != "null");
        Ok(Self(Arc::new(Object {
            address: location.address,
            store: opened.store,
            key: location.key,
            place: opened.place,
            size: meta.size,
            e_tag: meta.e_tag.unwrap_or_default(),
            version,
            is_version_refused: AtomicBool::new(false),
        })))
    }
}

/// The store, and what it states of the object. A bucket of AWS in another region than the settings say is asked for there.
async fn found(
    location: &Location,
    settings: &BucketSettings,
) -> Result<(Opened, ObjectMeta), Error> {
    let mut opened = store::open(location, settings, None)?;
    let mut waits = WAITS.into_iter();
    let mut region = None;
    loop {
        let trouble = match head(&opened, &location.key).await {
            Ok(meta) => return Ok((opened, meta)),
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Region(named) if region.is_none() && opened.place.is_empty() => {
                opened = store::open(location, settings, Some(&named))?;
                region = Some(named);
            }
            Trouble::Passing(why) => match waits.next() {
                Some(wait) => clock::sleep(wait).await,
                None => return Err(Trouble::Passing(why).at_opening(&location.address)),
            },
            trouble => return Err(trouble.at_opening(&location.address)),
        }
    }
}

async fn head(opened: &Opened, key: &Path) -> Result<ObjectMeta, Trouble> {
    let asked = |head, range| {
        let options = GetOptions {
            head,
            range,
            ..GetOptions::default()
        };
        wire::seeing(opened.store.get_opts(key, options))
    };
    let trouble = |error: &object_store::Error, seen: wire::Seen| {
        let seen = seen.elsewhere(opened.region.as_deref());
        Trouble::of(error, &seen, opened.source)
    };
    let refused = match asked(true, None).await {
        (Ok(answer), _) => return Ok(answer.meta),
        (Err(error), seen) => trouble(&error, seen),
    };
    // The answer to a HEAD has no body, so it does not say why.
    if !matches!(refused, Trouble::Refused(..)) {
        return Err(refused);
    }
    match asked(false, Some(GetRange::Bounded(0..1))).await {
        (Err(error), seen) => Err(trouble(&error, seen)),
        (Ok(_), _) => Err(refused),
    }
}

impl Object {
    fn opened(&self) -> MediaVersion {
        let (place, tag) = (&self.place, unquoted(&self.e_tag));
        let version = self.version.as_deref().unwrap_or_default();
        MediaVersion::new(self.size, format!("{place} {tag} {version}"))
    }

    /// Asks for a range of the opened version, and checks that the answer is that.
    async fn get(&self, range: Range<u64>) -> Result<GetResult, Trouble> {
        let is_refused = self.is_version_refused.load(Ordering::Relaxed);
        let version = self.version.as_ref().filter(|_| !is_refused);
        let mut asked = self.asked(range.clone(), version).await;
        let is_denied = matches!(
            &asked,
            Err(Trouble::Refused(io::ErrorKind::PermissionDenied, _))
        );
        if is_denied && version.is_some() {
            asked = self.asked(range.clone(), None).await;
            if asked.is_ok() {
                self.is_version_refused.store(true, Ordering::Relaxed);
            }
        }
        let answer = asked?;
        self.check(&answer.meta)?;
        if answer.range != range {
            return Err(Trouble::another_range());
        }
        // Stores keep such a word with an object, too. Bytes that were compressed on their way are not those of the range.
        let coding = answer.attributes.get(&Attribute::ContentEncoding);
        let is_coded = |coding: &str| {
            let codings = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"];
            codings.iter().any(|known| coding.contains(known))
        };
        match coding.is_some_and(|coding| is_coded(&coding.to_ascii_lowercase())) {
            true => Err(Trouble::compressed()),
            false => Ok(answer),
        }
    }

    async fn asked(
        &self,
        range: Range<u64>,
        version: Option<&String>,
    ) -> Result<GetResult, Trouble> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: Some(self.e_tag.clone()),
            version: version.cloned(),
            ..GetOptions::default()
        };
        let (answer, seen) = wire::seeing(self.store.get_opts(&self.key, options)).await;
        answer.map_err(|error| Trouble::of(&error, &seen, store::Source::Given))
    }

    /// The condition of a request is no more than a request.
    fn check(&self, meta: &ObjectMeta) -> Result<(), Trouble> {
        let tag = meta.e_tag.as_deref().unwrap_or_default();
        let is_same_version = match (&self.version, &meta.version) {
            (Some(opened), Some(now)) => opened == now,
            _ => true,
        };
        let is_same = unquoted(tag) == unquoted(&self.e_tag) && meta.size == self.size;
        match is_same && is_same_version {
            true => Ok(()),
            false => Err(Trouble::Changed),
        }
    }
}

/// A tag without the quotes that some servers leave out.
fn unquoted(tag: &str) -> &str {
    tag.trim_matches('"')
}

impl Media for Bucket {
    fn address(&self) -> &str {
        &self.0.address
    }

    fn opened(&self) -> MediaVersion {
        self.0.opened()
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        reading::read(Arc::clone(&self.0), range)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Escaped::new(&self.0.address).to_string();
        let mut shown = f.debug_struct("Bucket");
        shown.field("address", &address).field("size", &self.0.size);
        shown.finish_non_exhaustive()
    }
}
