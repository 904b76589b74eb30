//! The uploads that have ended, a page of the history at a time.

use super::Inner;
use super::rows::Stand;
use crate::journal::StoreError;
use crate::journal::history::Place;
use crate::journal::record::Record;
use crate::journal::store::{Cursor, Page};
use crate::upload::Upload;

impl Inner {
    pub(super) fn ended(&self, after: Option<Cursor>, limit: usize) -> Result<Page, StoreError> {
        let history = |error| StoreError::unavailable("its history", error);
        if self.history_was_edited()? {
            self.relearn()?;
        }
        let lost = match after {
            None => self.status.lost(),
            Some(_) => Vec::new(),
        };
        let from = after.map_or(0, |Cursor(at)| at);
        let mut page = Page {
            records: Vec::new(),
            lost,
            next: None,
        };
        for line in self.history.lines(from).map_err(history)? {
            if page.records.len() >= limit {
                return Ok(page);
            }
            let (place, row) = line.map_err(history)?;
            if self.is_its_end(&row, place)? {
                page.records.push(Record::from(&row));
            }
            page.next = Some(Cursor(place.end()));
        }
        page.next = None;
        Ok(page)
    }

    /// Whether this line is the last one about an upload that has ended.
    fn is_its_end(&self, row: &Upload, place: Place) -> Result<bool, StoreError> {
        Ok(match self.stand(&row.key, &row.id)? {
            Some(Stand::Told(known)) => known == place,
            Some(Stand::Here(stored)) => stored.state.is_final(),
            None => true,
        })
    }
}
