"""Amazon PPC: profile > portfolio > campaign > ad group > keyword / product ad; an ASIN has many ads."""

from __future__ import annotations

from core.domain import CauseType, Domain, Metric, Ratio

INF = float("inf")

ADS = Domain(
    name="ads",
    label="Amazon ads",
    levels=("profile", "portfolio", "campaign", "ad_group", "asin", "keyword", "ad"),
    level_labels={
        "profile": "Profile",
        "portfolio": "Portfolio",
        "campaign": "Campaign",
        "ad_group": "Ad group",
        "asin": "ASIN",
        "keyword": "Keyword",
        "ad": "Product ad",
    },
    metrics=(
        Metric("impressions", "Impressions", bad=-1),
        Metric("clicks", "Clicks", bad=-1),
        Metric("cost", "Spend", unit="money", bad=1, actionable=True),
        Metric("orders", "Orders (7 days)", bad=-1),
        Metric("units", "Units (7 days)", bad=-1),
        Metric("sales", "Sales (7 days)", unit="money", bad=-1),
        Metric("orders_14d", "Orders (14 days)", bad=-1),
        Metric("sales_14d", "Sales (14 days)", unit="money", bad=-1),
    ),
    ratios=(
        Ratio("ctr", "Click-through rate", "clicks", "impressions", unit="share", bad=-1),
        Ratio(
            "cpc",
            "Cost per click",
            "cost",
            "clicks",
            unit="money",
            bad=1,
            empty=INF,
            empty_label="no clicks",
        ),
        Ratio("cvr", "Conversion rate", "orders", "clicks", unit="share", bad=-1),
        Ratio("aov", "Sales per order", "sales", "orders", unit="money"),
        Ratio(
            "acos", "ACOS", "cost", "sales", unit="share", bad=1, empty=INF, empty_label="no sales"
        ),
        Ratio("roas", "ROAS", "sales", "cost", unit="ratio", bad=-1),
    ),
    causes=(
        CauseType(
            "budget_cut",
            "Budget cut",
            ("campaign", "portfolio"),
            {"impressions": -0.8},
            {"budget": -1},
        ),
        CauseType(
            "bid_up",
            "Bid raised",
            ("keyword", "ad_group"),
            {"impressions": 0.45, "cpc": 0.45},
            {"bid": 1},
        ),
        CauseType(
            "bid_down",
            "Bid lowered",
            ("keyword", "ad_group"),
            {"impressions": -0.6, "cpc": -0.45},
            {"bid": -1},
        ),
        CauseType(
            "listing_suppressed",
            "Listing suppressed or Buy Box lost",
            ("asin",),
            {"impressions": -3.0, "cvr": -3.0},
        ),
        CauseType("price_up", "Price raised", ("asin",), {"cvr": -0.6, "aov": 0.18}),
        CauseType(
            "tracking_break",
            "Tracking or attribution break",
            ("profile",),
            {"cvr": -2.3},
        ),
        CauseType(
            "click_fraud", "Click fraud", ("ad_group", "campaign"), {"ctr": 1.1, "cvr": -1.1}
        ),
        CauseType("paused", "Paused", ("campaign",), {"impressions": -6.0}, {"status": -1}),
        CauseType("payment_failure", "Payment failure", ("profile",), {"impressions": -6.0}),
        CauseType(
            "unknown",
            "Unknown",
            ("profile", "portfolio", "campaign", "ad_group", "asin", "keyword", "ad"),
        ),
    ),
    settings=("budget", "bid", "status"),
    spend="cost",
    revenue="sales",
    defaults={"detector": "ensemble", "localizer": "tree-scan", "unit": "campaign"},
)
