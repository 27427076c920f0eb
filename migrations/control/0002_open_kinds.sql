-- Which kinds of document there are is the code's to say (`store::objects::Kind`, `publish`): one more kind is no
-- change of the schema.
alter table control.objects drop constraint objects_kind_check;
alter table control.outbox drop constraint outbox_kind_check;
comment on column control.objects.kind is 'Kind of document, as in store::objects::Kind.';
