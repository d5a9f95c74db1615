// Flips every bit of every file of a checkpoint, then cuts every file off at every length; each
// time the checkpoint must not verify. Prints one JSON line; exits with 1 if damage went unnoticed.
//
//   flip_bits DIRECTORY      one checkpoint's directory; its files are changed and put back
#include <ringkernel/checkpoint/inspect.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

struct Tally {
  unsigned long long tried = 0;
  unsigned long long caught = 0;

  void add(const fs::path& directory, const std::string& what) {
    ++tried;
    const auto verified = rk::checkpoint::verify_path(directory);
    if (!verified && rk::exit_code(verified.error().code) == 4) {
      ++caught;
    } else {
      std::fprintf(stderr, "unnoticed: %s (%s)\n", what.c_str(),
                   verified ? "verifies" : verified.error().message.c_str());
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !rk::checkpoint::verify_path(argv[1])) {
    std::fprintf(stderr, "usage: flip_bits DIRECTORY   (of a checkpoint that verifies)\n");
    return 2;
  }
  const fs::path directory = argv[1];
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  Tally flips;
  Tally cuts;
  for (const fs::path& file : files) {
    const std::string good = read_file(file);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      write_file(file, bad);
      flips.add(directory, file.filename().string() + " bit " + std::to_string(bit));
    }
    for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
      write_file(file, good.substr(0, bytes));
      cuts.add(directory, file.filename().string() + " cut to " + std::to_string(bytes));
    }
    write_file(file, good);
  }
  const bool intact = rk::checkpoint::verify_path(directory).has_value();
  std::printf(
      "{\"files\":%zu,\"flips\":%llu,\"flips_caught\":%llu,\"truncations\":%llu,\"truncations_"
      "caught\":%llu,\"intact\":%s}\n",
      files.size(), flips.tried, flips.caught, cuts.tried, cuts.caught, intact ? "true" : "false");
  return intact && flips.caught == flips.tried && cuts.caught == cuts.tried ? 0 : 1;
}
