//! Why a setting of LiteLLM has no place in Flux, by its name.
//!
//! Must not decide anything: whoever reads a setting has decided that it is not carried over.

const IN_ORDER: &str = "Flux tries the targets of a chain in order, each once, and goes on at a failure";
const NO_REDIS: &str = "Flux keeps its state in memory and in its own ledger; no Redis";
const LEDGER: &str = "Flux keeps keys and charges in its own ledger (server.data_dir); no database to set up";
const PROVIDER_LIMIT: &str = "no limit per deployment: a provider's 429 sends the request to the next target";
const METRICS: &str = "no callbacks: see log.requests in flux.toml and /metrics of the private listener";
const AS_SENT: &str = "requests are passed on as clients send them; nothing is added, taken out or rewritten";
const BUDGETS: &str = "no budgets in the configuration";
const NOT_COPIED: &str = "a secret, not copied";
const PER_DEPLOYMENT_TIME: &str = "time is bounded for all requests alike: [timeouts] in flux.toml";
const NO_CACHE: &str = "answers are not cached";
const NO_CONTENT_LOGGED: &str = "content of requests and answers is never logged";
const IDENTITY: &str = "keys are made with flux keys create; no other sign-in";
const GENERAL: &str = "no counterpart in Flux";

/// Names and reasons. A name that ends with a star stands for all that begin so.
const REASONS: [(&str, &str); 85] = [
    ("master_key", "not copied: clients need a key of Flux, made with flux keys create"),
    ("environment_variables", "not copied: set them in the environment that Flux starts in"),
    ("id", "LiteLLM's own handle of a deployment: models.toml has ids of its own"),
    ("rpm", PROVIDER_LIMIT),
    ("tpm", PROVIDER_LIMIT),
    ("max_parallel_requests", "no limit per deployment or key; of the whole gateway: limits.in_flight_max"),
    ("global_max_parallel_requests", "set limits.in_flight_max in flux.toml"),
    ("max_request_size_mb", "set limits.body_bytes_max in flux.toml"),
    ("max_response_size_mb", "answers are streamed on; limits.unary_held_bytes_max bounds what is held"),
    ("num_retries", IN_ORDER),
    ("max_retries", IN_ORDER),
    ("num_retries_per_request", IN_ORDER),
    ("max_fallbacks", "set limits.attempts_max in flux.toml"),
    ("retry_*", IN_ORDER),
    ("model_group_retry_policy", IN_ORDER),
    ("routing_*", IN_ORDER),
    ("allowed_fails*", "nothing of a provider's failures is remembered for later requests"),
    ("cooldown_time", "nothing of a provider's failures is remembered for later requests"),
    ("disable_cooldowns", "nothing of a provider's failures is remembered for later requests"),
    ("content_policy_fallbacks", "a refusal of the model is an answer and goes to the client"),
    ("enable_pre_call_checks", "always so: targets whose window is too small are passed over"),
    ("timeout", PER_DEPLOYMENT_TIME),
    ("request_timeout", PER_DEPLOYMENT_TIME),
    ("stream_timeout", "see timeouts.first_byte_ms and timeouts.idle_ms in flux.toml"),
    ("redis_*", NO_REDIS),
    ("use_redis_transaction_buffer", NO_REDIS),
    ("cache*", NO_CACHE),
    ("enable_caching*", NO_CACHE),
    ("caching*", NO_CACHE),
    ("callbacks", METRICS),
    ("success_callback", METRICS),
    ("failure_callback", METRICS),
    ("service_callback", METRICS),
    ("callback_settings", METRICS),
    ("audit_log_callbacks", METRICS),
    ("langfuse_*", METRICS),
    ("prometheus_*", METRICS),
    ("require_auth_for_metrics_endpoint", "metrics are on the private listener"),
    ("alert*", "no alerts: /metrics tells the same to Prometheus"),
    (
        "background_health_checks",
        "providers are not asked for their health; requests that fail go on to the next target",
    ),
    ("health_check_*", "providers are not asked for their health; requests that fail go on to the next target"),
    ("drop_params", AS_SENT),
    ("additional_drop_params", AS_SENT),
    ("modify_params", AS_SENT),
    ("default_headers", AS_SENT),
    ("headers", AS_SENT),
    ("extra_headers", AS_SENT),
    ("extra_body", AS_SENT),
    ("temperature", AS_SENT),
    ("top_p", AS_SENT),
    ("max_tokens", AS_SENT),
    ("max_completion_tokens", AS_SENT),
    ("reasoning_effort", AS_SENT),
    ("thinking", AS_SENT),
    ("seed", AS_SENT),
    ("stop", AS_SENT),
    ("forward_client_headers_to_llm_api", "only headers of the wire format are passed on"),
    ("set_verbose", "set log.level in flux.toml"),
    ("json_logs", "set log.requests in flux.toml"),
    ("turn_off_message_logging", NO_CONTENT_LOGGED),
    ("redact_*", NO_CONTENT_LOGGED),
    ("store_prompts_in_spend_logs", NO_CONTENT_LOGGED),
    ("disable_spend_logs", "charges are always kept, once a request"),
    ("telemetry", "Flux sends nothing home"),
    ("max_budget*", BUDGETS),
    ("budget_*", BUDGETS),
    ("provider_budget_config", BUDGETS),
    ("default_internal_user_params", BUDGETS),
    ("default_team_*", BUDGETS),
    ("max_internal_user_budget", BUDGETS),
    ("database_*", LEDGER),
    ("store_model_in_db", "models are in files; a running Flux reads them again when they change"),
    ("proxy_batch_write_at", LEDGER),
    ("allow_requests_on_db_unavailable", LEDGER),
    ("enable_jwt_auth", IDENTITY),
    ("litellm_jwtauth", IDENTITY),
    ("custom_auth*", IDENTITY),
    ("key_management_*", IDENTITY),
    ("ui_access_mode", IDENTITY),
    ("aws_access_key_id", "signed AWS requests are not served yet: use a Bedrock API key"),
    ("aws_secret_access_key", NOT_COPIED),
    ("aws_session_token", NOT_COPIED),
    ("vertex_credentials", NOT_COPIED),
    ("organization", "not sent: use a key that belongs to one organization or project"),
    ("pass_through_endpoints", "only the endpoints of the README are served"),
];

/// Why a setting is not carried over.
pub(super) fn of(name: &str) -> &'static str {
    let is_meant = |known: &str| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == known,
    };
    REASONS.iter().find(|(known, _)| is_meant(known)).map_or(GENERAL, |(_, reason)| reason)
}
