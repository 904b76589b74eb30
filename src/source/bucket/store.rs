//! A client for one bucket, with the credentials that its user has.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use super::location::{Kind, Location};
use super::profile::{FromProfile, Profile};
use super::settings::BucketSettings;
use super::wire::Connector;
use crate::error::Error;
use crate::secret::escaped::Escaped;

/// The variables that are read for S3. The names are those of AWS; the last ones are of the library below.
const AWS: [&str; 13] = [
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_IMDSV1_FALLBACK",
    "AWS_SKIP_SIGNATURE",
    "AWS_REQUEST_PAYER",
];

/// The variables that are read for Azure, besides account, key and endpoint.
const AZURE: [&str; 14] = [
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_OBJECT_ID",
    "AZURE_USE_AZURE_CLI",
    "AZURE_SKIP_SIGNATURE",
];

/// The variables that are read for Google.
const GOOGLE: [&str; 5] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BASE_URL",
    "GOOGLE_SKIP_SIGNATURE",
];

/// Where credentials are from, as far as an error depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The settings name them.
    Given,
    /// Nothing names any, so the machine is asked for its role.
    Machine,
}

/// A store that can be asked.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    /// See the field of the object.
    pub(super) place: String,
    pub(super) source: Source,
    /// The region that requests to AWS are signed for.
    pub(super) region: Option<String>,
}

/// Makes the client; for S3 in this region, where one is named.
pub(super) fn open(
    location: &Location,
    settings: &BucketSettings,
    region: Option<&str>,
) -> Result<Opened, Error> {
    if let Some(pem) = settings.pem()
        && reqwest::Certificate::from_pem_bundle(&pem).map_or(true, |found| found.is_empty())
    {
        return Err(Error::usage(
            "The certificates for buckets are no certificates in PEM.",
        ));
    }
    match location.kind {
        Kind::S3 => s3(location, settings, region),
        Kind::Google => google(location, settings),
        Kind::Azure => azure(location, settings),
    }
}

fn s3(
    location: &Location,
    settings: &BucketSettings,
    region: Option<&str>,
) -> Result<Opened, Error> {
    let profile = Profile::read(settings)?;
    let section = profile.as_ref().map(Profile::section);
    let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let of_profile = || section?.get("endpoint_url");
    let endpoint = settings.get(&named).or_else(of_profile);
    let endpoint = endpoint.map(endpoint_of).transpose()?;

    let mut builder = AmazonS3Builder::new().with_bucket_name(&location.bucket);
    if let Some(region) = section.and_then(|section| section.get("region")) {
        builder = builder.with_region(region);
    }
    for (name, key) in AWS.iter().filter_map(|name| {
        let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().ok()?;
        Some((name, key))
    }) {
        if let Some(value) = settings.get(&[name]) {
            // The default gives way to a region that is there already.
            if *name == "AWS_DEFAULT_REGION" {
                builder = builder.with_region(value);
            } else {
                builder = builder.with_config(key, value);
            }
        }
    }
    if let Some(endpoint) = settings.get(&["AWS_EC2_METADATA_SERVICE_ENDPOINT"]) {
        builder = builder.with_metadata_endpoint(endpoint);
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }

    let mut source = Source::Given;
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| settings.get(&[name]));
    let has_any = |names: &[&str]| settings.get(names).is_some();
    match keys {
        [Some(id), Some(secret)] => {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
            if let Some(token) = settings.get(&["AWS_SESSION_TOKEN"]) {
                builder = builder.with_token(token);
            }
        }
        [None, None] => {
            let by_token = has_any(&["AWS_WEB_IDENTITY_TOKEN_FILE"]) && has_any(&["AWS_ROLE_ARN"]);
            let of_container = has_any(&[
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            ]);
            if by_token || settings.is_true("AWS_SKIP_SIGNATURE") {
            } else if let Some(profile) = profile.filter(Profile::has_credentials) {
                builder = builder.with_credentials(Arc::new(FromProfile::new(profile)));
            } else if !of_container {
                if settings.is_true("AWS_EC2_METADATA_DISABLED") {
                    return Err(super::Trouble::denied(
                        "there are no credentials: no variable and no profile names any, and AWS_EC2_METADATA_DISABLED says not to ask this machine for its role".into(),
                    )
                    .at_opening(&location.address));
                }
                source = Source::Machine;
            }
        }
        [None, Some(_)] => return Err(half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        [Some(_), None] => return Err(half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
    }

    let mut place = String::new();
    let mut plain = None;
    if let Some(mut url) = endpoint {
        place = host(&url);
        let virtual_hosted = settings.is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST");
        if virtual_hosted {
            let own = url.host_str().unwrap_or_default().to_owned();
            let hosted = format!("{}.{own}", location.bucket);
            if !own.starts_with(&format!("{}.", location.bucket))
                && url.set_host(Some(&hosted)).is_err()
            {
                return Err(Error::usage(format!(
                    "The bucket {} cannot be a part of the endpoint's host, as AWS_VIRTUAL_HOSTED_STYLE_REQUEST asks for.",
                    location.bucket
                )));
            }
        }
        builder = builder
            .with_endpoint(url.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(virtual_hosted);
        plain = (url.scheme() == "http").then_some(url);
    }
    let builder = builder
        .with_retry(no_retries())
        .with_http_connector(connector(settings, plain));
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let store = builder.build().map_err(|_| unusable("AWS_"))?;
    Ok(Opened {
        store: Arc::new(store),
        place,
        source,
        region: Some(region.unwrap_or_else(|| "us-east-1".into())),
    })
}

fn google(location: &Location, settings: &BucketSettings) -> Result<Opened, Error> {
    let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(&location.bucket);
    for name in GOOGLE {
        let key: Result<GoogleConfigKey, _> = name.to_ascii_lowercase().parse();
        if let (Some(value), Ok(key)) = (settings.get(&[name]), key) {
            builder = builder.with_config(key, value);
        }
    }
    let named = settings.get(&GOOGLE[..3]);
    let base = settings.get(&["GOOGLE_BASE_URL"]);
    let base = base.map(endpoint_of).transpose()?;
    let builder = builder
        .with_retry(no_retries())
        .with_http_connector(connector(
            settings,
            base.clone().filter(|url| url.scheme() == "http"),
        ));
    let store = builder.build().map_err(|_| unusable("GOOGLE_"))?;
    Ok(Opened {
        store: Arc::new(store),
        place: base.as_ref().map(host).unwrap_or_default(),
        source: named.map_or(Source::Machine, |_| Source::Given),
        region: None,
    })
}

fn azure(location: &Location, settings: &BucketSettings) -> Result<Opened, Error> {
    let whole = settings.get(&["AZURE_STORAGE_CONNECTION_STRING"]);
    let part = |name: &str| {
        let parts = whole?.split(';').filter_map(|part| part.split_once('='));
        let mut values = parts.filter(|(found, _)| *found == name);
        values.next().map(|(_, value)| value)
    };
    let account = settings.get(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]);
    let Some(account) = account.or_else(|| part("AccountName")) else {
        return Err(Error::usage(
            "The account in Azure is not known: AZURE_STORAGE_ACCOUNT_NAME is not set.",
        ));
    };
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&location.bucket)
        .with_account(account);
    for name in AZURE {
        let key: Result<AzureConfigKey, _> = name.to_ascii_lowercase().parse();
        if let (Some(value), Ok(key)) = (settings.get(&[name]), key) {
            builder = builder.with_config(key, value);
        }
    }
    let keys = [
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_KEY",
    ];
    let key = settings.get(&keys).or_else(|| part("AccountKey"));
    if let Some(key) = key {
        builder = builder.with_access_key(key);
    }
    if let Some(token) = part("SharedAccessSignature") {
        builder = builder.with_config(AzureConfigKey::SasKey, token);
    }
    if let Some(endpoint) = settings.get(&["IDENTITY_ENDPOINT"]) {
        builder = builder.with_msi_endpoint(endpoint);
    }
    let named = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
    let endpoint = settings.get(&named).or_else(|| part("BlobEndpoint"));
    let endpoint = endpoint.map(endpoint_of).transpose()?;
    if let Some(url) = &endpoint {
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/').to_owned());
    }
    let is_given = key.is_some() || settings.get(&AZURE).is_some() || whole.is_some();
    let place = match &endpoint {
        Some(url) => format!("{account}@{}", host(url)),
        None => account.to_owned(),
    };
    let builder = builder
        .with_retry(no_retries())
        .with_http_connector(connector(
            settings,
            endpoint.filter(|url| url.scheme() == "http"),
        ));
    let store = builder.build().map_err(|_| unusable("AZURE_"))?;
    Ok(Opened {
        store: Arc::new(store),
        place,
        source: match is_given {
            true => Source::Given,
            false => Source::Machine,
        },
        region: None,
    })
}

/// Whether http is allowed is decided for each request by the connector, which knows where it goes.
fn connector(settings: &BucketSettings, plain: Option<Url>) -> Connector {
    Connector {
        certificates: settings.pem(),
        plain,
    }
}

/// Retries are made here, where the credentials are asked for anew and each answer is compared.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        backoff: BackoffConfig::default(),
        ..RetryConfig::default()
    }
}

/// An endpoint that the settings name. The text is not shown: there may be a password in it.
fn endpoint_of(url: &str) -> Result<Url, Error> {
    let parsed = Url::parse(url).ok().filter(|url| {
        let is_bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare
    });
    parsed.ok_or_else(|| {
        Error::usage(
            "The endpoint in the settings of buckets is no URL that begins with https:// or http:// and has no user, password or query.",
        )
    })
}

/// Host and port.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn half(missing: &str, set: &str) -> Error {
    Error::usage(format!(
        "{} is set, and {} is not: the settings of buckets need both, or none of them.",
        Escaped::new(set),
        Escaped::new(missing)
    ))
}

/// The reason may repeat the value.
fn unusable(prefix: &str) -> Error {
    Error::usage(format!(
        "The settings of buckets that begin with {prefix} cannot be used: one of them has a value that is none, or names a file that cannot be read."
    ))
}
