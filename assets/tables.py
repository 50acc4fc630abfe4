"""Tables in the metadata of an asset."""

import dagster as dg
import polars as pl
import polars.selectors as cs


def table_metadata(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """Show a small table in the UI; an empty one keeps its columns."""
    frame = frame.with_columns(cs.float().round_sig_figs(5))
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in frame.to_dicts()],
        schema=dg.TableSchema(
            columns=[dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()]
        ),
    )
