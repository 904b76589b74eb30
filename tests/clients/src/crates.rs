//! The two crates as a program uses them. Each ends with `Ok` if the crate says that all went well.

use std::error::Error;
use std::path::PathBuf;

use http_api_client_endpoint::{Endpoint, Response};
use tiktok_api::endpoints::v2::common::EndpointRet;
use tiktok_api::endpoints::v2::video_upload_init::VideoUploadInitEndpoint;
use tiktok_api::media_transfer::upload_from_file;
use tiktok_rust::direct_post::{
    PostInfoBuilder, PrivacyLevel, Service, Source, SourceInfoBuilder, VideoInitRequestBuilder,
};

use crate::{CHUNK, TOKEN};

type Said = Result<(), Box<dyn Error>>;

/// tiktok-api writes the service's host into its request but leaves the sending to us: the origin is replaced there.
/// `chunk` is the size that its caller asks for; without one it takes its own, 64 MiB.
pub(crate) async fn tiktok_api(api: &str, file: &str, chunk: Option<usize>) -> Said {
    let path = PathBuf::from(file);
    let init = VideoUploadInitEndpoint::with_file(TOKEN, &path, chunk).await?;
    let request = init.render_request()?;
    let client = reqwest::Client::new();
    let answer = client
        .post(format!("{api}{}", request.uri().path()))
        .headers(request.headers().clone())
        .body(request.body().clone())
        .send()
        .await?;
    let answer = Response::builder()
        .status(answer.status())
        .body(answer.bytes().await?.to_vec())?;
    let upload_url = match init.parse_response(answer)? {
        EndpointRet::Ok(body) => body.data.upload_url.ok_or("no upload_url")?,
        EndpointRet::Other(refused) => return Err(format!("{refused:?}").into()),
    };
    // The list ends with the first part that failed.
    for part in upload_from_file(client, upload_url, "video/mp4", &path, chunk).await? {
        part?;
    }
    Ok(())
}

/// tiktok_rust takes a base URL. Its one call for all steps reads a field of the status answer that is not documented,
/// and fails where it is missing, so its steps are called here. It sends the file in one PUT, whatever was declared.
pub(crate) async fn tiktok_rust(api: &str, file: &str, chunk: Option<u64>) -> Said {
    let size = std::fs::metadata(file)?.len();
    let chunk = chunk.unwrap_or(size);
    let post = PostInfoBuilder::default()
        .title("clip")
        .privacy_level(PrivacyLevel::SelfOnly)
        .disable_duet(false)
        .disable_comment(false)
        .disable_stitch(false)
        .video_cover_timestamp_ms(0_u64)
        .build()?;
    let source = SourceInfoBuilder::default()
        .source(Source::FileUpload)
        .video_size(Some(size))
        .chunk_size(Some(chunk))
        .total_chunk_count(Some(u32::try_from(size / chunk)?))
        .build()?;
    let init = VideoInitRequestBuilder::default()
        .post_info(post)
        .source_info(source)
        .build()?;
    let service = Service::new().with_base_url(api);
    let data = service.post_video(TOKEN, init).await?;
    service.upload_video(&data.upload_url, file).await?;
    Ok(())
}

/// What a run of this program as a client was asked to do.
pub(crate) async fn run(client: &str, api: &str, file: &str, chunk: &str) -> Said {
    match (client, chunk) {
        ("tiktok-api", "own") => tiktok_api(api, file, None).await,
        ("tiktok-api", "small") => tiktok_api(api, file, Some(CHUNK as usize)).await,
        ("tiktok_rust", "whole") => tiktok_rust(api, file, None).await,
        ("tiktok_rust", "cut") => tiktok_rust(api, file, Some(CHUNK)).await,
        _ => Err("no such client".into()),
    }
}
