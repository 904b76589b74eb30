//! Whether a video file is complete: nobody writes to it, and its container is closed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::container::{self, Recognised, Unfit};
use super::file_system::FileSystem;
use super::writer::Finished;
use super::{beneath, identity, unreadable};
use crate::error::Error;
use crate::upload::Identity;

/// Whether a video file is complete, as [`completeness`] finds it. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completeness {
    /// Nobody writes to it, and it is either a whole video or no video at all.
    Complete,
    /// A program writes to it, or changed it so recently that one may: look again soon.
    Written(String),
    /// Nobody is known to write to it, and it is no whole video yet: look again when it has changed.
    Unfinished(String),
}

/// What a file holds, and what forbids to send it.
pub(super) enum Held {
    Video(Recognised),
    /// The end is open, and the file was changed too recently.
    Young(String),
    Unfit(Unfit),
}

/// Reads the container, and if its end is open, when the file was changed.
pub(super) fn held(file: &File, identity: &Identity, finished: Finished) -> Held {
    let read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at);
    let recognised = container::recognise(&read, identity.size);
    let open_ended = match &recognised {
        Ok(recognised) => recognised.open_ended,
        Err(unfit) => matches!(unfit, Unfit::Unfinished { .. }),
    };
    match recognised {
        _ if open_ended && let Some(why) = finished.is_young(file, identity) => Held::Young(why),
        Ok(recognised) => Held::Video(recognised),
        Err(unfit) => Held::Unfit(unfit),
    }
}

/// Looks whether a video file is complete, without a request: for programs that wait for files which others write. A file with a part
/// missing is [`Unfinished`](Completeness::Unfinished) even if nobody has it open; a file that is no video at all is complete, and its
/// [`Job`](crate::Job) says why it is refused.
///
/// With a `root`, the file is opened only if it lies beneath that directory: see [`Job::beneath`](crate::Job::beneath). Where the
/// system does not say whether a program has the file open for writing, it has to be unchanged for `settle`: see
/// [`Job::settle`](crate::Job::settle). With `came_whole`, somebody vouches for the content, for example by renaming the file to its
/// final name: then only a program that has it open for writing makes it incomplete.
///
/// Blocks while it reads the headers of the file: up to 2 minutes on a slow disk. Call it where blocking is allowed.
///
/// # Errors
///
/// [`ErrorKind::Source`](crate::ErrorKind::Source) if the file cannot be read, is no regular file, or lies outside of `root`;
/// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it cannot be read now.
pub fn completeness(
    path: impl AsRef<Path>,
    root: Option<&Path>,
    settle: Option<Duration>,
    came_whole: bool,
) -> Result<Completeness, Error> {
    let path = path.as_ref();
    let unreadable = |error| unreadable(path, FileSystem::at(path), error);
    let file = match root {
        Some(root) => beneath::open(root, path)
            .map_err(unreadable)?
            .ok_or_else(|| Error::outside(path))?,
        None => beneath::anywhere(path).map_err(unreadable)?,
    };
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Error::unfit(path, "it is no regular file"));
    }
    let identity = identity::now(&file).map_err(unreadable)?;
    let finished = Finished {
        always: false,
        settle,
    };
    if let Some(why) = finished.is_open(&file, &identity) {
        return Ok(Completeness::Written(why));
    }
    if came_whole {
        return Ok(Completeness::Complete);
    }
    if let Some(why) = finished.is_unsettled(&file, &identity) {
        return Ok(Completeness::Written(why));
    }
    if identity.size == 0 {
        return Ok(Completeness::Unfinished("it is empty".to_owned()));
    }
    Ok(match held(&file, &identity, finished) {
        Held::Video(_) => Completeness::Complete,
        Held::Young(why) => Completeness::Written(why),
        Held::Unfit(Unfit::Io(error)) => return Err(unreadable(error)),
        Held::Unfit(unfit @ Unfit::Unfinished { .. }) => {
            Completeness::Unfinished(unfit.to_string())
        }
        // What is no video now may be the space of one that was reserved.
        Held::Unfit(_) => match finished.is_recent(&file, &identity) {
            Some(why) => Completeness::Written(why),
            None => Completeness::Complete,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const WHOLE: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42\
        \0\0\0\x39moov\0\0\0\x31trak\0\0\0\x29mdia\0\0\0\x21hdlr\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\x0cmdat1234";

    fn look(path: &Path) -> Completeness {
        completeness(path, path.parent(), None, false).expect("readable")
    }

    #[test]
    fn half_a_file_is_not_complete_although_nobody_has_it_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("clip.mp4");
        for cut in [1, 8, 40, WHOLE.len() - 1] {
            fs::write(&path, &WHOLE[..cut]).expect("written");
            assert_ne!(look(&path), Completeness::Complete, "{cut}");
        }
        // Reserved to its full size, and nothing written yet.
        fs::write(&path, vec![0; 1 << 20]).expect("written");
        assert_ne!(look(&path), Completeness::Complete);
        fs::write(&path, "").expect("written");
        assert_eq!(
            look(&path),
            Completeness::Unfinished("it is empty".to_owned())
        );
        fs::write(&path, WHOLE).expect("written");
        assert_eq!(look(&path), Completeness::Complete);
    }

    #[test]
    fn a_whole_file_is_not_complete_while_a_program_has_it_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("clip.mp4");
        fs::write(&path, WHOLE).expect("written");
        let writer = File::options().append(true).open(&path).expect("open");
        assert!(matches!(look(&path), Completeness::Written(_)));
        let came = |root| completeness(&path, root, None, true).expect("readable");
        assert!(matches!(came(None), Completeness::Written(_)));
        drop(writer);
        fs::write(&path, &WHOLE[..40]).expect("written");
        assert_eq!(came(Some(dir.path())), Completeness::Complete);
        // A link that leads out is not looked at.
        let out = tempfile::tempdir().expect("a directory");
        symlink(&path, out.path().join("link.mp4")).expect("made");
        let link = out.path().join("link.mp4");
        completeness(&link, Some(out.path()), None, false).expect_err("outside");
    }
}
