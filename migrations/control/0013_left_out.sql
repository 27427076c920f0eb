-- What tool servers list that can't be taken into a catalogue: it does not disappear without a word.
alter table control.sightings add column left_out bytea not null default '[]';
comment on column control.sightings.left_out is 'JSON array of what the server lists beside and what no definition can be made of: list, name, why. Bytes, as seen.';
