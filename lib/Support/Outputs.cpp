//===- Outputs.cpp - Files that appear together or not at all -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Outputs.h"

#include "fqat/Support/OutputPath.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <fcntl.h>
#include <optional>

using namespace llvm;

namespace fqat {

struct Outputs::Output {
  std::string name;
  OutputPath place;
  /// Of a file.
  std::optional<sys::fs::TempFile> temporary;
  /// Of a stream, or of an array that goes to a pipe or a device.
  std::unique_ptr<raw_fd_ostream> stream;
  std::unique_ptr<WritableMemoryBuffer> memory;
  /// Of an array in a file.
  sys::fs::mapped_file_region region;

  Error fail(const Twine &message) const {
    return createStringError((place.path == "-" ? "standard output" : name) +
                             ": " + message);
  }
  /// Opens what stays what it is.
  Error openSpecial() {
    std::error_code error;
    stream = std::make_unique<raw_fd_ostream>(place.path, error);
    return error ? fail(error.message()) : Error::success();
  }
  Error openFile() {
    auto file = sys::fs::TempFile::create(place.getTemporaryPattern());
    if (!file)
      return fail(errorToErrorCode(file.takeError()).message());
    temporary = std::move(*file);
    return Error::success();
  }
  /// Maps a new file. All of it is reserved, so that a disk that is full is an
  /// error here and no signal later.
  Error map(uint64_t size) {
    if (int error = posix_fallocate(temporary->FD, 0, size))
      return fail(std::error_code(error, std::generic_category()).message());
    std::error_code error;
    region = sys::fs::mapped_file_region(
        sys::fs::convertFDToNativeFile(temporary->FD),
        sys::fs::mapped_file_region::readwrite, size, 0, error);
    return error ? fail(error.message()) : Error::success();
  }
  /// Writes what is left.
  Error flush() {
    if (memory)
      stream->write(memory->getBufferStart(), memory->getBufferSize());
    if (!stream)
      return Error::success();
    stream->flush();
    std::error_code error = stream->error();
    stream->clear_error();
    return error ? fail(error.message()) : Error::success();
  }
  Error keep() {
    region.unmap();
    if (!temporary)
      return Error::success();
    Error error = temporary->keep(place.path);
    return error ? fail(errorToErrorCode(std::move(error)).message())
                 : Error::success();
  }
};

Outputs::Outputs(ArrayRef<std::string> inputs)
    : inputs(inputs.begin(), inputs.end()) {}

Outputs::~Outputs() {
  for (const auto &output : outputs) {
    if (output->stream) {
      output->stream->flush();
      output->stream->clear_error();
    }
    if (output->temporary)
      consumeError(output->temporary->discard());
  }
}

Expected<Outputs::Output *> Outputs::open(StringRef path) {
  auto output = std::make_unique<Output>();
  output->name = path.str();
  output->place = OutputPath::resolve(path);
  if (output->place.error)
    return output->fail(output->place.error.message());
  for (const std::string &input : inputs)
    if (!output->place.isSpecial &&
        sys::fs::equivalent(input, output->place.path))
      return output->fail("it would take the place of " + input +
                          ", which is read");
  for (const auto &other : outputs)
    if (other->place.path == output->place.path)
      return output->fail("two outputs have this name");
  if (Error error =
          output->place.isSpecial ? output->openSpecial() : output->openFile())
    return std::move(error);
  outputs.push_back(std::move(output));
  return outputs.back().get();
}

Error Outputs::openStream(StringRef path, raw_ostream *&stream) {
  if (path.empty())
    return Error::success();
  Expected<Output *> output = open(path);
  if (!output)
    return output.takeError();
  Output &made = **output;
  if (made.temporary)
    made.stream = std::make_unique<raw_fd_ostream>(made.temporary->FD,
                                                   /*shouldClose=*/false);
  stream = made.stream.get();
  return Error::success();
}

Expected<uint8_t *> Outputs::openArray(StringRef path, uint64_t size) {
  Expected<Output *> output = open(path);
  if (!output)
    return output.takeError();
  Output &made = **output;
  if (made.temporary) {
    if (Error error = made.map(size))
      return std::move(error);
    return reinterpret_cast<uint8_t *>(made.region.data());
  }
  made.memory = WritableMemoryBuffer::getNewUninitMemBuffer(size);
  if (!made.memory)
    return made.fail("there is not enough memory");
  return reinterpret_cast<uint8_t *>(made.memory->getBufferStart());
}

Error Outputs::commit() {
  for (const auto &output : outputs)
    if (Error error = output->flush())
      return error;
  for (const auto &output : outputs)
    if (Error error = output->keep())
      return error;
  return Error::success();
}

} // namespace fqat
