// Telemetry as text: Prometheus' exposition format and JSON. Pure functions.
#include <ringkernel/runtime/metrics.hpp>

#include <charconv>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace rk {
namespace {

using nlohmann::ordered_json;

/// Buckets of the exported histograms: one per power of two of the unit.
constexpr std::uint32_t kFirstLatencyPower = 0;   // 1 us
constexpr std::uint32_t kLastLatencyPower = 30;   // 18 min
constexpr std::uint32_t kFirstDurationPower = 5;  // 32 ns
constexpr std::uint32_t kLastDurationPower = 36;  // 69 s
constexpr double kMicroseconds = 1e6;
constexpr double kNanoseconds = 1e9;

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// Samples of one metric follow its HELP and TYPE lines.
class Exposition {
 public:
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    text_.append(name).append(" ").append(type).append("\n");
  }
  void sample(Labels labels, std::uint64_t value) { line("", labels, std::to_string(value)); }
  void sample(Labels labels, double value) { line("", labels, number(value)); }

  /// `scale`: units of the histogram's values per second.
  void histogram(std::string_view type, const Histogram& values, std::uint64_t sum, double scale,
                 std::uint32_t first_power, std::uint32_t last_power) {
    for (std::uint32_t power = first_power; power <= last_power; ++power) {
      const std::string bound = number(static_cast<double>(std::uint64_t{1} << power) / scale);
      line("_bucket", {{"type", type}, {"le", bound}}, std::to_string(values.below_power(power)));
    }
    const std::string count = std::to_string(values.count());
    line("_bucket", {{"type", type}, {"le", "+Inf"}}, count);
    line("_sum", {{"type", type}}, number(static_cast<double>(sum) / scale));
    line("_count", {{"type", type}}, count);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  static std::string number(double value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof(text), value).ptr};
  }
  void line(std::string_view suffix, Labels labels, std::string_view value) {
    text_.append(name_).append(suffix);
    char separator = '{';
    for (const auto& [label, content] : labels) {
      text_ += separator;
      text_.append(label).append("=\"");
      escape(content);
      text_ += '"';
      separator = ',';
    }
    if (labels.size() != 0) text_ += '}';
    text_ += ' ';
    text_.append(value).append("\n");
  }
  void escape(std::string_view content) {
    for (const char c : content) {
      if (c == '\\' || c == '"') text_ += '\\';
      if (c == '\n') {
        text_ += "\\n";
      } else {
        text_ += c;
      }
    }
  }

  std::string text_;
  std::string_view name_;
};

/// One sample for each worker and type that has it.
template <class Get>
void per_worker_and_type(Exposition& out, const Telemetry& telemetry, bool with_unknown, Get get) {
  const std::size_t types = telemetry.types.size() - (with_unknown ? 0 : 1);
  for (std::size_t w = 0; w < telemetry.workers.size(); ++w) {
    const std::string worker = std::to_string(w);
    for (std::size_t t = 0; t < types; ++t) {
      out.sample({{"worker", worker}, {"type", telemetry.types[t]}},
                 get(telemetry.workers[w].types[t]));
    }
  }
}

template <class Get>
void per_worker(Exposition& out, const Telemetry& telemetry, Get get) {
  for (std::size_t w = 0; w < telemetry.workers.size(); ++w)
    out.sample({{"worker", std::to_string(w)}}, get(telemetry.workers[w]));
}

void write_types(Exposition& out, const Telemetry& all) {
  using Type = TypeTelemetry;
  out.metric("ringkernel_messages_total", "counter", "Messages that handlers finished.");
  per_worker_and_type(out, all, false, [](const Type& t) { return t.handled; });
  out.metric("ringkernel_handler_failures_total", "counter", "Handlers that failed.");
  per_worker_and_type(out, all, false, [](const Type& t) { return t.failures; });
  out.metric("ringkernel_sends_total", "counter", "Messages and outputs that handlers sent.");
  per_worker_and_type(out, all, false, [](const Type& t) { return t.sends; });
  out.metric("ringkernel_dead_letters_total", "counter", "Messages that nobody could handle.");
  per_worker_and_type(out, all, true, [](const Type& t) { return t.dead_letters; });
  out.metric("ringkernel_spawns_total", "counter", "Actors spawned by actors.");
  per_worker_and_type(out, all, false, [](const Type& t) { return t.spawns; });
  out.metric("ringkernel_kills_total", "counter", "Actors killed.");
  per_worker_and_type(out, all, false, [](const Type& t) { return t.kills; });
  out.metric("ringkernel_handler_seconds_total", "counter",
             "Time in handlers, estimated from samples.");
  per_worker_and_type(out, all, false, [](const Type& t) {
    return static_cast<double>(t.handler_ns) / kNanoseconds;
  });
  std::vector<TypeTelemetry> types;
  for (std::size_t t = 0; t + 1 < all.types.size(); ++t) types.push_back(all.of_type(t));
  out.metric("ringkernel_latency_seconds", "histogram",
             "From a message's time stamp until its handler began.");
  for (std::size_t t = 0; t < types.size(); ++t)
    out.histogram(all.types[t], types[t].latency, types[t].latency_us, kMicroseconds,
                  kFirstLatencyPower, kLastLatencyPower);
  out.metric("ringkernel_handler_duration_seconds", "histogram",
             "How long handlers ran; a sample counts for the messages it stands for.");
  for (std::size_t t = 0; t < types.size(); ++t)
    out.histogram(all.types[t], types[t].duration, types[t].handler_ns, kNanoseconds,
                  kFirstDurationPower, kLastDurationPower);
}

void write_workers(Exposition& out, const Telemetry& all) {
  using Worker = WorkerTelemetry;
  out.metric("ringkernel_queue_messages", "gauge", "Messages that wait, by queue.");
  for (std::size_t w = 0; w < all.workers.size(); ++w) {
    const std::string worker = std::to_string(w);
    out.sample({{"worker", worker}, {"queue", "inbox"}}, all.workers[w].inbox);
    out.sample({{"worker", worker}, {"queue", "outbox"}}, all.workers[w].outbox);
    out.sample({{"worker", worker}, {"queue", "stash"}}, all.workers[w].stash);
  }
  out.metric("ringkernel_stashed_messages_total", "counter",
             "Messages set aside until their handler had room.");
  per_worker(out, all, [](const Worker& w) { return w.stash_total; });
  out.metric("ringkernel_full_inbox_total", "counter",
             "Times a send found the receiver's inbox full.");
  per_worker(out, all, [](const Worker& w) { return w.full_inbox_total; });
  out.metric("ringkernel_ring_stalls_total", "counter", "Waits for room in a snapshot ring.");
  per_worker(out, all, [](const Worker& w) { return w.ring_stalls; });
  out.metric("ringkernel_worker_turns_total", "counter", "Turns of the worker's loop.");
  per_worker(out, all, [](const Worker& w) { return w.turns; });
  out.metric("ringkernel_running_handler_seconds", "gauge",
             "How long the handler that runs now has run; 0 between handlers.");
  per_worker(out, all, [](const Worker& w) { return w.running_s; });
}

void write_checkpoints(Exposition& out, const CheckpointTelemetry& checkpoint) {
  out.metric("ringkernel_checkpoints_total", "counter", "Durable checkpoints.");
  out.sample({{"kind", "full"}},
             std::uint64_t{checkpoint.checkpoints} - std::uint64_t{checkpoint.increments});
  out.sample({{"kind", "increment"}}, std::uint64_t{checkpoint.increments});
  out.metric("ringkernel_checkpoint_failures_total", "counter", "Checkpoints that failed.");
  out.sample({}, std::uint64_t{checkpoint.failures});
  out.metric("ringkernel_checkpoint_failures_in_a_row", "gauge",
             "Checkpoints that failed since the last durable one.");
  out.sample({}, std::uint64_t{checkpoint.failures_in_a_row});
  out.metric("ringkernel_checkpoint_drained_bytes_total", "counter",
             "Bytes that checkpoints took out of the workers.");
  out.sample({}, checkpoint.drained_bytes);
  out.metric("ringkernel_checkpoint_file_bytes_total", "counter",
             "Bytes of the checkpoints' files.");
  out.sample({}, checkpoint.file_bytes);
  out.metric("ringkernel_checkpoint_longest_seconds", "gauge",
             "The longest time from a cut until it was durable.");
  out.sample({}, static_cast<double>(checkpoint.longest.count()) / kNanoseconds);
  out.metric("ringkernel_checkpoint_interval_seconds", "gauge",
             "Time between checkpoints as things stand; 0: none by time.");
  out.sample({}, static_cast<double>(checkpoint.interval.count()) / kNanoseconds);
  if (!checkpoint.age_s) return;
  out.metric("ringkernel_checkpoint_age_seconds", "gauge",
             "Since this process's newest checkpoint was durable.");
  out.sample({}, *checkpoint.age_s);
}

ordered_json percentiles(const Histogram& values) {
  return {{"count", values.count()},          {"p50", values.percentile(0.5)},
          {"p90", values.percentile(0.9)},    {"p99", values.percentile(0.99)},
          {"p999", values.percentile(0.999)}, {"max", values.percentile(1)}};
}

ordered_json type_json(const std::string& name, const TypeTelemetry& type) {
  ordered_json out{{"type", name},
                   {"handled", type.handled},
                   {"failures", type.failures},
                   {"sends", type.sends},
                   {"dead_letters", type.dead_letters},
                   {"spawns", type.spawns},
                   {"kills", type.kills},
                   {"handler_s", static_cast<double>(type.handler_ns) / kNanoseconds},
                   {"latency_us", percentiles(type.latency)},
                   {"handler_ns", percentiles(type.duration)}};
  // buckets, so that a reader can take the difference of two readings
  for (const auto& [key, values] :
       {std::pair("latency_us", &type.latency), std::pair("handler_ns", &type.duration)}) {
    ordered_json& buckets = out[key]["buckets"] = ordered_json::array();
    for (std::uint32_t i = 0; i < kHistogramBuckets; ++i) {
      if (values->counts[i] != 0) buckets.push_back({histogram_highest(i), values->counts[i]});
    }
  }
  return out;
}

ordered_json message_json(const Telemetry& all, const std::optional<MessageTelemetry>& message) {
  if (!message) return nullptr;
  return {{"actor", message->receiver.index()},
          {"generation", message->receiver.generation()},
          {"type", message->type < all.types.size() ? all.types[message->type] : "(unknown)"},
          {"tag", message->tag},
          {"age_s", message->age_s}};
}

ordered_json worker_json(const Telemetry& all, std::size_t w) {
  const WorkerTelemetry& worker = all.workers[w];
  ordered_json types = ordered_json::object();
  for (std::size_t t = 0; t < all.types.size(); ++t) {
    const TypeTelemetry& type = worker.types[t];
    types[all.types[t]] = {{"handled", type.handled},
                           {"failures", type.failures},
                           {"sends", type.sends},
                           {"dead_letters", type.dead_letters},
                           {"handler_s", static_cast<double>(type.handler_ns) / kNanoseconds}};
  }
  return {{"worker", w},
          {"sent", worker.sent},
          {"received", worker.received},
          {"dead", worker.dead},
          {"inbox", worker.inbox},
          {"outbox", worker.outbox},
          {"stash", worker.stash},
          {"stash_total", worker.stash_total},
          {"full_inbox_total", worker.full_inbox_total},
          {"ring_stalls", worker.ring_stalls},
          {"turns", worker.turns},
          {"running", message_json(all, worker.running)},
          {"running_s", worker.running_s},
          {"stashed", message_json(all, worker.stashed)},
          {"arrived", message_json(all, worker.arrived)},
          {"types", types}};
}

}  // namespace

std::string prometheus_text(const Telemetry& telemetry) {
  Exposition out;
  out.metric("ringkernel_info", "gauge", "What runs here; always 1.");
  out.sample({{"job", telemetry.job},
              {"executor", telemetry.executor},
              {"workers", std::to_string(telemetry.workers.size())}},
             std::uint64_t{1});
  out.metric("ringkernel_running", "gauge", "1 while the workers run.");
  out.sample({}, std::uint64_t{telemetry.running});
  out.metric("ringkernel_uptime_seconds", "gauge", "Since the workers started.");
  out.sample({}, telemetry.uptime_s);
  write_types(out, telemetry);
  write_workers(out, telemetry);
  out.metric("ringkernel_host_messages_total", "counter",
             "Messages from the host, and outputs that it consumed.");
  out.sample({{"direction", "sent"}}, telemetry.host_sent);
  out.sample({{"direction", "received"}}, telemetry.host_received);
  write_checkpoints(out, telemetry.checkpoint);
  return out.take();
}

std::string telemetry_json(const Telemetry& telemetry) {
  const CheckpointTelemetry& checkpoint = telemetry.checkpoint;
  ordered_json out{{"version", 1},
                   {"job", telemetry.job},
                   {"pid", telemetry.pid},
                   {"time_us", telemetry.time_us},
                   {"uptime_s", telemetry.uptime_s},
                   {"running", telemetry.running},
                   {"executor", telemetry.executor},
                   {"host_sent", telemetry.host_sent},
                   {"host_received", telemetry.host_received}};
  ordered_json& types = out["types"] = ordered_json::array();
  for (std::size_t t = 0; t < telemetry.types.size(); ++t)
    types.push_back(type_json(telemetry.types[t], telemetry.of_type(t)));
  ordered_json& workers = out["workers"] = ordered_json::array();
  for (std::size_t w = 0; w < telemetry.workers.size(); ++w)
    workers.push_back(worker_json(telemetry, w));
  out["checkpoint"] = {
      {"checkpoints", checkpoint.checkpoints},
      {"increments", checkpoint.increments},
      {"failures", checkpoint.failures},
      {"failures_in_a_row", checkpoint.failures_in_a_row},
      {"drained_bytes", checkpoint.drained_bytes},
      {"file_bytes", checkpoint.file_bytes},
      {"longest_s", static_cast<double>(checkpoint.longest.count()) / kNanoseconds},
      {"interval_s", static_cast<double>(checkpoint.interval.count()) / kNanoseconds},
      {"age_s", checkpoint.age_s ? ordered_json(*checkpoint.age_s) : ordered_json()},
      {"newest", checkpoint.newest}};
  // a directory's name may hold any bytes
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace rk
