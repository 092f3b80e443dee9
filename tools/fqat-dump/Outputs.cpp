//===- Outputs.cpp - Files that appear together or not at all -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Outputs.h"
#include "fqat/Support/OutputPath.h"

#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <optional>

using namespace llvm;

namespace fqat::dump {

struct Outputs::Output {
  std::string name;
  OutputPath place;
  /// Of a stream to a file.
  std::optional<sys::fs::TempFile> temporary;
  /// Of a stream, or of an array that goes to a pipe or a device.
  std::unique_ptr<raw_fd_ostream> stream;
  std::unique_ptr<WritableMemoryBuffer> memory;
  /// Of an array in a file.
  std::unique_ptr<FileOutputBuffer> buffer;

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
    Error error = temporary ? temporary->keep(place.path)
                  : buffer  ? buffer->commit()
                            : Error::success();
    return error ? fail(toString(std::move(error))) : Error::success();
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

Expected<Outputs::Output *> Outputs::add(StringRef path) {
  auto output = std::make_unique<Output>();
  output->name = path.str();
  output->place = OutputPath::resolve(path);
  for (const std::string &input : inputs)
    if (!output->place.isSpecial &&
        sys::fs::equivalent(input, output->place.path))
      return output->fail("it would take the place of " + input +
                          ", which is compared");
  for (const auto &other : outputs)
    if (other->place.path == output->place.path)
      return output->fail("two outputs have this name");
  outputs.push_back(std::move(output));
  return outputs.back().get();
}

Expected<raw_ostream *> Outputs::openStream(StringRef path) {
  Expected<Output *> output = add(path);
  if (!output)
    return output.takeError();
  Output &made = **output;
  if (made.place.isSpecial) {
    if (Error error = made.openSpecial())
      return std::move(error);
    return made.stream.get();
  }
  auto file = sys::fs::TempFile::create(made.place.path + ".%%%%%%.tmp");
  if (!file)
    return made.fail(toString(file.takeError()));
  made.temporary = std::move(*file);
  made.stream = std::make_unique<raw_fd_ostream>(made.temporary->FD,
                                                 /*shouldClose=*/false);
  return made.stream.get();
}

Expected<uint8_t *> Outputs::openArray(StringRef path, uint64_t size) {
  Expected<Output *> output = add(path);
  if (!output)
    return output.takeError();
  Output &made = **output;
  if (made.place.isSpecial) {
    if (Error error = made.openSpecial())
      return std::move(error);
    made.memory = WritableMemoryBuffer::getNewUninitMemBuffer(size);
    if (!made.memory)
      return made.fail("there is not enough memory");
    return reinterpret_cast<uint8_t *>(made.memory->getBufferStart());
  }
  auto buffer = FileOutputBuffer::create(made.place.path, size);
  if (!buffer)
    return made.fail(toString(buffer.takeError()));
  made.buffer = std::move(*buffer);
  return made.buffer->getBufferStart();
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

} // namespace fqat::dump
