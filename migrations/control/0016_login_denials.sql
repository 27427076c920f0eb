-- A denial holds for the call whatever is appended to its token and however often it was asked about, and who logged in for a token may not decide on its calls.
alter table control.approvals add column token_root text;
alter table control.approvals add column token_nonce bytea;
comment on column control.approvals.token_root is 'Revocation id of the bare token, or the line of a login; null: asked by an edge from before this was told.';
comment on column control.approvals.token_nonce is 'Nonce of the token: of one that was given for a login it says whose, under the digest key of the tenant.';

drop index control.approvals_denied;
create index approvals_of_call on control.approvals (tenant, token_root, tool, args_digest)
    where state in ('pending', 'approved', 'denied');
