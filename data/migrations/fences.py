"""Row-level security of one table on PostgreSQL, for the revisions that make tables."""

# FORCE: without it the table's owner sees every row. nullif: an unset tenant must match nothing, not fail.
FENCE = """
ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON "{table}"
    USING (tenant = nullif(current_setting('app.tenant', true), ''))
    WITH CHECK (tenant = nullif(current_setting('app.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO headwater_app;
"""
UNFENCE = """
REVOKE ALL ON "{table}" FROM headwater_app;
DROP POLICY tenant_only ON "{table}";
ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY;
"""
