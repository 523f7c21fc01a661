use anyhow::{Result, anyhow};
use open_feature::{Client, OpenFeature};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use reqwest::header::{AUTHORIZATION, HeaderMap};

/// A client that asks the server, one feature at a time.
pub async fn connect(api: &mut OpenFeature, address: &str, token: &str) -> Result<Client> {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse()?)]);
    let options = OfrepOptions { base_url: address.to_owned(), headers, ..OfrepOptions::default() };
    let provider = OfrepProvider::new(options).await.map_err(|error| anyhow!("{error:?}"))?;
    api.set_named_provider("shop", provider).await;
    Ok(api.create_named_client("shop"))
}
