// `rk doctor`: what this machine has, what is missing and how to get it.
#include <dlfcn.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "backend.hpp"
#include "commands.hpp"
#include "duration.hpp"

namespace rk::tools {
namespace {

using nlohmann::ordered_json;

std::uint64_t usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
    return static_cast<std::uint64_t>(CPU_COUNT(&cores));
  return std::thread::hardware_concurrency();
}

/// A line of /proc/meminfo, in bytes; 0 if there is none.
std::uint64_t memory_bytes(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(name + ":", 0) != 0) continue;
    return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

/// Release that an nvcc on the PATH or at its usual place reports, like "13.0"; empty without one.
std::string toolkit_release() {
  const char* command =
      "sh -c 'nvcc --version || ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc --version' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "r"), pclose);
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), pipe.get()) != nullptr) text += part.data();
  const std::string key = "release ";
  const auto at = text.find(key);
  if (at == std::string::npos) return {};
  return text.substr(at + key.size(), text.find(',', at) - at - key.size());
}

struct Driver {
  bool library = false;
  int version = 0;  ///< 1000 * major + 10 * minor
  std::vector<std::string> devices;
  std::string problem;
};

/// Asks the driver itself, loaded by hand: rk runs where no driver is installed.
Driver find_driver() {
  Driver driver;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    driver.problem = "libcuda.so.1 is not installed";
    return driver;
  }
  driver.library = true;
  const auto find = [&]<class F>(F*& function, const char* name) {
    function = reinterpret_cast<F*>(dlsym(library, name));
    return function != nullptr;
  };
  int (*init)(unsigned) = nullptr;
  int (*version)(int*) = nullptr;
  int (*count)(int*) = nullptr;
  int (*get)(int*, int) = nullptr;
  int (*get_name)(char*, int, int) = nullptr;
  if (!find(init, "cuInit") || !find(version, "cuDriverGetVersion") ||
      !find(count, "cuDeviceGetCount") || !find(get, "cuDeviceGet") ||
      !find(get_name, "cuDeviceGetName")) {
    driver.problem = "libcuda.so.1 lacks functions that every driver has";
    return driver;
  }
  (void)version(&driver.version);
  if (const int status = init(0); status != 0) {
    driver.problem =
        "the driver does not start (error " + std::to_string(status) + "; 100 means no device)";
    return driver;
  }
  int devices = 0;
  (void)count(&devices);
  for (int i = 0; i < devices; ++i) {
    int device = 0;
    std::array<char, 128> name{};
    if (get(&device, i) == 0 && get_name(name.data(), name.size(), device) == 0)
      driver.devices.emplace_back(name.data());
  }
  if (driver.devices.empty()) driver.problem = "the driver runs, but there is no GPU";
  return driver;
}

struct Report {
  ordered_json facts = ordered_json::object();
  ordered_json missing = ordered_json::array();

  void fact(const std::string& name, ordered_json value) { facts[name] = std::move(value); }
  void lacks(const std::string& what, const std::string& why, const std::string& how) {
    missing.push_back({{"what", what}, {"why", why}, {"how", how}});
  }
};

void add_cuda(Report& out) {
  const std::string toolkit = toolkit_release();
  const Driver driver = find_driver();
  out.fact("cuda_toolkit", toolkit.empty() ? ordered_json() : ordered_json(toolkit));
  out.fact("cuda_driver", driver.library
                              ? ordered_json(std::to_string(driver.version / 1000) + "." +
                                             std::to_string(driver.version % 1000 / 10))
                              : ordered_json());
  out.fact("gpus", driver.devices);
  out.fact("rk_built_with_cuda", built_with_cuda());
  if (toolkit.empty() || std::atoi(toolkit.c_str()) < 13) {
    out.lacks("CUDA toolkit 13.0 or newer",
              toolkit.empty() ? "no nvcc on the PATH or in /usr/local/cuda" : "nvcc is " + toolkit,
              "needed only to compile for GPUs: https://developer.nvidia.com/cuda-downloads "
              "(package cuda-toolkit-13-0)");
  }
  if (!driver.problem.empty()) {
    out.lacks("a GPU with its driver", driver.problem,
              "needed only for --backend cuda: an NVIDIA GPU of compute capability 8.0 or newer, "
              "driver 580 or newer");
  }
  if (!built_with_cuda()) {
    out.lacks("the CUDA executor in this rk", "it was built with the preset `host`",
              "make cuda, which builds build/cuda/rk");
  }
}

void add_disk(Report& out, const std::string& directory) {
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0) {
    out.lacks("directory " + directory, "it cannot be read", "name an existing one with --dir");
    return;
  }
  out.fact("disk_directory", directory);
  out.fact("disk_free_bytes", std::uint64_t{disk.f_bavail} * disk.f_frsize);
  out.fact("disk_writable", access(directory.c_str(), W_OK) == 0);
  if (access(directory.c_str(), W_OK) != 0) {
    out.lacks("permission to write to " + directory, "checkpoints could not be saved there",
              "choose another --checkpoint-dir");
  }
}

}  // namespace

int doctor_command(const std::string& directory, bool json) {
  Report out;
  out.fact("version", RK_VERSION);
  out.fact("cores", usable_cores());
  out.fact("memory_bytes", memory_bytes("MemTotal"));
  out.fact("memory_available_bytes", memory_bytes("MemAvailable"));
  add_disk(out, directory);
  add_cuda(out);
  if (json) {
    ordered_json all = out.facts;
    all["missing"] = out.missing;
    std::printf("%s\n", all.dump().c_str());
    return 0;
  }
  for (const auto& [name, value] : out.facts.items()) {
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (name.ends_with("_bytes")) text = format_bytes(value.get<std::uint64_t>());
    if (value.is_null() || (value.is_array() && value.empty())) text = "none";
    std::printf("%-24s %s\n", name.c_str(), text.c_str());
  }
  std::printf("\nhost executor            ready\n");
  for (const auto& item : out.missing) {
    std::printf("missing: %s\n  why: %s\n  how: %s\n", item["what"].get<std::string>().c_str(),
                item["why"].get<std::string>().c_str(), item["how"].get<std::string>().c_str());
  }
  return 0;
}

}  // namespace rk::tools
