//! What is no video that can be sent.

use super::*;

#[test]
fn a_file_that_is_no_video_is_called_what_it_is() {
    let packets = |first: usize, step: usize| {
        let mut bytes = vec![0xAA; 1000];
        bytes
            .iter_mut()
            .skip(first)
            .step_by(step)
            .for_each(|byte| *byte = b'G');
        bytes
    };
    for (bytes, name) in [
        (b"RIFF\x10\0\0\0AVI LIST".to_vec(), "AVI"),
        (b"RIFF\x10\0\0\0WAVEfmt ".to_vec(), "WAV"),
        (b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), "WebP"),
        (packets(0, 188), "transport stream"),
        (packets(4, 192), "transport stream"),
        (b"FLV\x01\x05\0\0\0\x09".to_vec(), "FLV"),
        (b"OggS\0\x02\0\0\0\0".to_vec(), "Ogg"),
        (b"GIF89a\x40\x01\xF0\0".to_vec(), "GIF"),
        (b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR".to_vec(), "PNG"),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF".to_vec(), "JPEG"),
        (b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "ZIP"),
        (b"\0\0\0\x0CjP  \r\n\x87\n".to_vec(), "JPEG 2000"),
        (b"ID3\x04\0\0\0\0\0\x23".to_vec(), "MP3"),
        (b"\xFF\xFB\x50\xC4\0\0\0\0".to_vec(), "MP3"),
        (b"\xFF\xF1\x50\x80\x04\x3F\xFC\xDE".to_vec(), "AAC"),
        (b"\xEF\xBB\xBF\n <!DOCTYPE HTML><html>".to_vec(), "web page"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n".to_vec(), "playlist"),
        (b"{\"error\":\"not found\"}".to_vec(), "text"),
        (b"The free encyclopedia".to_vec(), "text"),
        (
            ["ü".repeat(400), "é".to_owned()].concat().into_bytes(),
            "text",
        ),
        (
            b"\x00\x05\x16\x07\0\x02\0\0Mac OS X        ".to_vec(),
            "AppleDouble",
        ),
        (b"\0\0\0\x01Bud1\0\0\x10\0".to_vec(), ".DS_Store"),
        (b"bplist00\xD4\x01\x02\x03".to_vec(), "iCloud"),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "Git LFS",
        ),
        (vec![0; 9000], "zeros"),
        (b"ftyp".to_vec(), "too short"),
        (vec![], "too short"),
        (vec![0xA7; 900], "not a kind of video known here"),
    ] {
        let unfit = says(&bytes, name);
        assert!(matches!(unfit, Unfit::Foreign(_)), "{unfit}");
        assert!(unfit.advice("clip").is_some());
    }
}

#[test]
fn the_command_can_be_pasted_whatever_the_name() {
    let unfit = look(&ebml(b"matroska")).unwrap_err();
    for (name, command) in [
        ("clip.mkv", "ffmpeg -i clip.mkv -c copy clip.mp4"),
        (
            "out/día 1.mkv",
            "ffmpeg -i 'out/día 1.mkv' -c copy 'out/día 1.mp4'",
        ),
        ("it's.mkv", r"ffmpeg -i 'it'\''s.mkv' -c copy 'it'\''s.mp4'"),
        (
            "$(rm x).mkv",
            "ffmpeg -i '$(rm x).mkv' -c copy '$(rm x).mp4'",
        ),
        // These names could be read as an option, a URL, and a control sequence.
        ("-y.mkv", "ffmpeg -i ./-y.mkv -c copy ./-y.mp4"),
        ("20:15.mkv", "ffmpeg -i ./20:15.mkv -c copy ./20:15.mp4"),
        (
            "a\x1B[2J.mkv",
            "ffmpeg -i 'a\u{fffd}[2J.mkv' -c copy 'a\u{fffd}[2J.mp4'",
        ),
        // ffmpeg cannot overwrite its input.
        ("clip.mp4", "ffmpeg -i clip.mp4 -c copy clip.new.mp4"),
        ("CLIP.MP4", "ffmpeg -i CLIP.MP4 -c copy CLIP.new.mp4"),
        ("", "ffmpeg -i '' -c copy ''"),
    ] {
        if cfg!(unix) {
            assert_eq!(unfit.advice(name).unwrap(), format!("Try: {command}"));
        }
    }
}
